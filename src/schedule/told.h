// What a pass told its sinks, as bytes: noted while it runs, and told again to other sinks of the same type.
//
// results(sinks) lists the sinks whose calls are results; a call's kind is its place there.
#pragma once

#include <cstdint>
#include <functional>
#include <tuple>
#include <utility>

#include "io/bytes.h"

namespace qsweep::schedule {

// Sinks that note every call in `told` and pass it on.
template <class Sinks>
Sinks noting(Sinks sinks, io::ByteSink& told) {
  uint8_t kinds = 0;
  const auto note = [&]<class... Args>(std::function<void(Args...)>& sink) {
    sink = [kind = kinds++, &told, to = std::move(sink)](Args... args) {
      told.put(kind);
      (told.put(args), ...);
      if (to) to(args...);
    };
  };
  std::apply([&](auto&... sink) { (note(sink), ...); }, results(sinks));
  return sinks;
}

template <class Sinks>
void tell(io::ByteSource&& told, Sinks sinks) {
  const auto call = [&]<class... Args>(const std::function<void(Args...)>& sink) {
    const std::tuple<std::decay_t<Args>...> args{
        told.get<std::decay_t<Args>>()...};  // in order, as in all braces
    if (sink) std::apply(sink, args);
  };
  while (told.left() > 0) {
    const auto kind = told.get<uint8_t>();
    uint8_t k = 0;
    std::apply([&](auto&... sink) { ((k++ == kind ? call(sink) : void()), ...); }, results(sinks));
    if (kind >= k) fail("expected a call of {} kinds, found kind {}", k, kind);
  }
}

}  // namespace qsweep::schedule
