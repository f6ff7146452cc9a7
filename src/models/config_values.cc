#include "models/config_values.h"

#include <algorithm>

#include <fmt/ranges.h>

namespace qsweep::models {

int64_t size_or(const io::ObjectReader& r, const std::string& key, int64_t otherwise, int64_t high) {
  return r.has(key) ? r.integer_in(key, 1, high) : otherwise;
}

int64_t divided(const io::ObjectReader& r, int64_t width, const std::string& width_key, int64_t parts,
                const std::string& parts_key) {
  if (width % parts != 0)
    fail("{}: \"{}\" {} is not a multiple of \"{}\" {}", r.path(), width_key, width, parts_key, parts);
  return width / parts;
}

void require_name(const io::ObjectReader& r, const std::string& key,
                  std::initializer_list<const char*> names) {
  if (!r.has(key)) return;
  const std::string name = r.string(key);
  if (std::find(names.begin(), names.end(), name) == names.end())
    fail("{}: \"{}\": \"{}\" is not supported; supported: \"{}\"", r.path(), key, name,
         fmt::join(names, "\", \""));
}

double read_epsilon(const io::ObjectReader& r, const std::string& key) {
  const double epsilon = r.number(key);
  if (!(epsilon >= 0 && epsilon < 1))
    fail("{}: \"{}\": expected a number from 0 to below 1, found {}", r.path(), key, epsilon);
  return epsilon;
}

}  // namespace qsweep::models
