// Runs the passes of a plan, those of every device in the order of the plan.
#pragma once

#include <mutex>
#include <optional>

#include "schedule/devices.h"
#include "schedule/phase_log.h"
#include "schedule/workers.h"

namespace qsweep::schedule {

// The sinks of a pass on one of several devices: what they are told is noted, to be told on later; only
// stage_done is called at once, by one pass at a time. A pass ends there where another device has failed.
template <class Sinks>
Sinks noting_alone(Sinks sinks, io::ByteSink& told, std::mutex& one_at_a_time, const Workers& workers) {
  std::apply([](auto&... sink) { ((sink = nullptr), ...); }, results(sinks));
  if constexpr (requires { sinks.stage_done; })
    sinks.stage_done = [&one_at_a_time, &workers, to = std::move(sinks.stage_done)](const std::string& stage,
                                                                                    double flops) {
      workers.check();
      const std::lock_guard lock(one_at_a_time);
      if (to) to(stage, flops);
    };
  return noting(std::move(sinks), told);
}

// sinks_of(chunk) are the sinks of a pass; body(i, context, sinks, boundaries) computes pass i. Where a
// device has too little memory, the error has the plan's figures.
//
// On one device sinks are called while a pass goes on. Of several, each has a thread of its own, the first
// the calling one. Then sinks are told results pass after pass in the order of the plan, whichever is
// finished first: what they add up has the same bits in every run. Where something throws, the other devices
// end with their stage or pass.
template <class SinksOf, class Body>
void run_passes(const Devices& devices, const MemoryPlan& plan, PhaseLog& log, SinksOf&& sinks_of,
                Body&& body) {
  const std::vector<Chunk>& chunks = plan.chunks;
  const auto run = [&](size_t i, const auto& sinks) {
    const ops::Context& context = devices[chunks[i].device];
    log.run(i, chunks[i].device, context.gemm, sinks,
            [&](const auto& noted, const pass::Boundaries& boundaries) {
              try {
                return body(i, context, noted, boundaries);
              } catch (OutOfMemory& error) {
                error.add_context(plan.describe(i));
                throw;
              }
            });
  };
  if (devices.size() == 1) {
    for (size_t i = 0; i < chunks.size(); ++i) run(i, sinks_of(chunks[i]));
    return;
  }
  std::mutex one_at_a_time;  // calls of sinks
  std::vector<std::optional<io::ByteBuffer>> told(chunks.size());
  size_t next = 0;  // the pass that is told on next
  Workers workers;
  workers.run(devices.size(), [&](size_t device) {
    for (size_t i = 0; i < chunks.size(); ++i) {
      if (chunks[i].device != device) continue;
      workers.check();
      io::ByteBuffer noted;
      run(i, noting_alone(sinks_of(chunks[i]), noted, one_at_a_time, workers));
      const std::lock_guard lock(one_at_a_time);
      told[i] = std::move(noted);
      for (; next < chunks.size() && told[next]; ++next) {
        tell(io::ByteReader(*told[next]), sinks_of(chunks[next]));
        told[next].reset();
      }
    }
  });
}

}  // namespace qsweep::schedule
