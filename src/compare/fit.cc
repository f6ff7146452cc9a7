#include "compare/fit.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/error.h"

namespace qsweep::compare {
namespace {

// The first that is part of the name counts.
constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
    {"nvfp4", "NVFP4"}, {"mxfp4", "MXFP4"}, {"mxfp6", "MXFP6"}, {"mxfp8", "MXFP8"},
    {"w4a8", "W4A8"},   {"fp8", "FP8"},     {"w8a8", "INT8"},   {"w8a16", "INT8"},
    {"int8", "INT8"},   {"w4a16", "INT4"},  {"int4", "INT4"},
};
// With less than this share of a side's ops in common, the figures say little about that side's ranking.
constexpr double kEnough = 0.5;

bool both(const std::string& a, const std::string& b) { return !a.empty() && !b.empty(); }

// Two runs name formats alike; of another tool's format the name tells the kind of numbers at most.
bool formats_differ(const Ranking& run, const Ranking& other) {
  if (!both(run.format, other.format)) return false;
  if (!other.model.empty()) return run.format != other.format;
  const std::string_view ours = kind_of_format(run.format), theirs = kind_of_format(other.format);
  return !ours.empty() && !theirs.empty() && ours != theirs;
}

void check_ops(const Agreement& a, std::vector<std::string>& out) {
  size_t of_run = 0;
  for (const Unit& unit : a.units) of_run += unit.members.size();
  const auto check = [&](const char* whose, size_t compared, size_t scored) {
    if (static_cast<double>(compared) < kEnough * static_cast<double>(scored))
      out.push_back(
          fmt::format("only {} of the {} ops that {} scored are compared: the figures are of these alone",
                      compared, scored, whose));
  };
  check("RUN", of_run, a.run.entries.size());
  check("OTHER", a.units.size(), a.other.entries.size());
}

}  // namespace

std::string_view kind_of_format(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const auto& [part, kind] : kKinds)
    if (lower.find(part) != std::string::npos) return kind;
  return {};
}

std::vector<std::string> misfits(const Agreement& a) {
  std::vector<std::string> out;
  if (formats_differ(a.run, a.other))
    out.push_back(
        fmt::format("RUN's scores are of {}, OTHER's of {}: formats differ in what they are sensitive to",
                    a.run.format, a.other.format));
  if (a.run.mode && a.other.mode && *a.run.mode != *a.other.mode)
    out.push_back(fmt::format("RUN's scores are by mode {}, OTHER's by {}: these answer different questions",
                              name(*a.run.mode), name(*a.other.mode)));
  if (both(a.run.model, a.other.model) && a.run.model != a.other.model)
    out.push_back("the two runs are of different models: their weights have other headers");
  if (both(a.run.data, a.other.data) && a.run.data != a.other.data)
    out.push_back(
        "the two runs are on different data files: that alone makes rankings differ as the reliability says");
  check_ops(a, out);
  return out;
}

}  // namespace qsweep::compare
