// Values that the config.json of several families has.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "io/json.h"

namespace qsweep::models {

// Far above any real width, low enough that products stay exact.
inline constexpr int64_t kMaxConfigSize = int64_t{1} << 24;
inline constexpr int64_t kMaxLayers = 1000;

// From 1 to `high`. A key may be left out where its class in transformers has a default.
int64_t size_or(const io::ObjectReader& r, const std::string& key, int64_t otherwise,
                int64_t high = kMaxConfigSize);

// width / parts; Error where it is not whole.
int64_t divided(const io::ObjectReader& r, int64_t width, const std::string& width_key, int64_t parts,
                const std::string& parts_key);

// Error unless the key is absent or its value one of these names.
void require_name(const io::ObjectReader& r, const std::string& key,
                  std::initializer_list<const char*> names);

// From 0 to below 1.
double read_epsilon(const io::ObjectReader& r, const std::string& key);

}  // namespace qsweep::models
