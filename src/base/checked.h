// Integer arithmetic that reports overflow as an Error instead of wrapping.
#pragma once

#include <concepts>
#include <cstdint>

#include "base/error.h"

namespace qsweep {

template <std::integral T>
T checked_mul(T a, T b) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) fail("{} x {} is too large", a, b);
  return product;
}

template <std::integral T>
T checked_add(T a, T b) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) fail("{} + {} is too large", a, b);
  return sum;
}

// Converts between integer types; an Error where the value does not fit.
template <std::integral To, std::integral From>
To checked_cast(From value) {
  const To converted = static_cast<To>(value);
  if (static_cast<From>(converted) != value || (converted < To{}) != (value < From{}))
    fail("{} does not fit the expected integer range", value);
  return converted;
}

}  // namespace qsweep
