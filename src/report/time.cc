#include "report/time.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "io/json.h"
#include "report/text.h"

namespace qsweep::report {
namespace {

using io::Json;

constexpr double kLongPhase = 0.05;              // of the run: its work is listed
constexpr std::string_view kRatePhase = "rate";  // no work of the run
constexpr double kListedShare = 0.005;           // of a phase: less is summed up as other
constexpr size_t kInLine = 4;

struct KindLabel {
  std::string_view kind, label;
};
constexpr KindLabel kLabels[] = {
    {"gemm deltas", "GEMM of deltas"},
    {"gemm reference", "GEMM of the reference and parents"},
    {"gemm cotangents", "GEMM of cotangents"},
    {"widening", "widening bf16 to f32 for products"},
    {"attention", "attention but its products"},
    {"row kernels", "row kernels between ops"},
    {"linear", "row kernels at linear ops"},
    {"errors", "products with gradients"},
    {"quantize weights", "quantizing weights"},
    {"quantize inputs", "quantizing inputs"},
    {"weights", "reading and widening weights"},
    {"head", "metrics at the head"},
    {"inputs", "decoding images, building inputs"},
    {"stage", "releasing weights and memory"},
    {"journal", "writing the journal"},
};

double number_at(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number()) return kUndefined;
  return object[key].get<double>();
}

const Json& member(const Json& object, const char* key) {
  static const Json kNone = Json::object();
  return object.is_object() && object.contains(key) && object[key].is_object() ? object[key] : kNone;
}

struct Entry {
  std::string name;
  double seconds = 0;
  const Json* json;
};

// The members that have seconds, the longest first.
template <class Seconds>
std::vector<Entry> by_time(const Json& object, Seconds seconds_of) {
  std::vector<Entry> entries;
  for (const auto& [name, value] : object.items())
    if (const double s = seconds_of(value); std::isfinite(s)) entries.push_back({name, s, &value});
  std::ranges::stable_sort(entries, std::greater(), &Entry::seconds);
  return entries;
}

std::vector<Entry> phases(const Json& provenance) {
  return by_time(member(provenance, "phases_s"),
                 [](const Json& value) { return value.is_number() ? value.get<double>() : kUndefined; });
}

std::vector<Entry> work(const Json& provenance, const std::string& phase) {
  return by_time(member(member(provenance, "work"), phase.c_str()),
                 [](const Json& value) { return number_at(value, "seconds"); });
}

std::string whole(double n) { return std::isnan(n) ? number(n) : fmt::format("{:.0f}", n); }

std::string rate_cell(const Entry& entry) {
  const double flops = number_at(*entry.json, "flops"), read = number_at(*entry.json, "bytes");
  if (flops > 0 && entry.seconds > 0) return number(flops / entry.seconds * 1e-9) + " Gflop/s";
  if (read > 0) return bytes(read);
  return "";
}

std::string phase_table(const std::vector<Entry>& phases, double wall_s) {
  Table table({"Phase", ">Time", ">Share"});
  for (const Entry& phase : phases)
    table.row({plain(phase.name), seconds(phase.seconds), percent(phase.seconds / wall_s)});
  return table.text();
}

std::string work_table(const Json& provenance, const Entry& phase) {
  Table table({"Work in the phase " + plain(phase.name), ">Calls", ">Time", ">Share", ">Rate, or amount"});
  double listed_s = 0;
  for (const Entry& entry : work(provenance, phase.name)) {
    if (entry.name == "phase" || entry.seconds < kListedShare * phase.seconds) continue;
    listed_s += entry.seconds;
    table.row({plain(work_label(entry.name)), whole(number_at(*entry.json, "calls")), seconds(entry.seconds),
               percent(entry.seconds / phase.seconds), rate_cell(entry)});
  }
  if (table.empty()) return "";
  const double rest_s = std::max(0.0, phase.seconds - listed_s);
  table.row({"other", "", seconds(rest_s), percent(rest_s / phase.seconds), ""});
  return table.text();
}

std::string shapes_text(const Json& gemm) {
  std::vector<std::string> shapes;
  if (gemm.contains("peak_of") && gemm["peak_of"].is_array())
    for (const Json& shape : gemm["peak_of"]) {
      const bool known = shape.is_object() && shape.contains("dtype") && shape["dtype"].is_string();
      shapes.push_back(fmt::format("{} [{}, {}] by {} at {}",
                                   known ? plain(shape["dtype"].get<std::string>()) : "–",
                                   whole(number_at(shape, "rows")), whole(number_at(shape, "in")),
                                   whole(number_at(shape, "out")), number(number_at(shape, "gflops_per_s"))));
    }
  return shapes.empty() ? "" : fmt::format(": {}", fmt::join(shapes, ", "));
}

std::string gemm_text(const Json& gemm) {
  const double rate = number_at(gemm, "gflops_per_s"), share = number_at(gemm, "share");
  if (!(rate > 0)) return "";
  return fmt::format(
      "The products of the sweep are {} Gflop, {} Gflop/s over its whole time: {} of the {} Gflop/s that "
      "this "
      "machine reaches on the sweep's main products alone{}.\n\n",
      number(number_at(gemm, "gflop")), number(rate), percent(share),
      number(number_at(gemm, "peak_gflops_per_s")), shapes_text(gemm));
}

// Bytes of weights that all phases touched.
double weight_bytes(const Json& provenance) {
  double sum = 0;
  for (const auto& [phase, kinds] : member(provenance, "work").items()) {
    const double read = number_at(member(kinds, "weights"), "bytes");
    if (read > 0) sum += read;
  }
  return sum;
}

std::string system_text(const Json& provenance) {
  const Json& processor = member(provenance, "processor");
  const double user_s = number_at(processor, "user_s"), storage = number_at(processor, "storage_read_bytes");
  if (!(user_s >= 0)) return "";
  return fmt::format(
      "Processor time: {} in the program and {} in the system, with {} page faults, of which {} waited for "
      "storage. Weights read: {}; read from storage in all: {}.\n\n",
      seconds(user_s), seconds(number_at(processor, "system_s")),
      whole(number_at(processor, "page_faults") + number_at(processor, "page_faults_read")),
      whole(number_at(processor, "page_faults_read")), bytes(weight_bytes(provenance)),
      std::isnan(storage) ? "unknown" : bytes(storage));
}

}  // namespace

std::string work_label(std::string_view kind) {
  const auto* row = std::ranges::find(kLabels, kind, &KindLabel::kind);
  return std::string(row == std::end(kLabels) ? kind : row->label);
}

std::string time_section(const Json& provenance) {
  const std::vector<Entry> all = phases(provenance);
  const double wall_s = number_at(provenance, "wall_s");
  if (all.empty()) return "";
  std::string text = "## Where the time went\n\n" + phase_table(all, wall_s);
  for (const Entry& phase : all)
    if (phase.name != kRatePhase && phase.seconds >= kLongPhase * wall_s)
      text += work_table(provenance, phase);
  return text + gemm_text(member(provenance, "gemm")) + system_text(provenance);
}

std::string time_line(const Json& provenance) {
  const std::vector<Entry> all = phases(provenance);
  if (all.empty()) return "";
  const Entry& longest = all.front();
  std::vector<std::string> parts;
  for (const Entry& entry : work(provenance, longest.name)) {
    if (parts.size() == kInLine) break;
    parts.push_back(fmt::format("{} {}", work_label(entry.name), percent(entry.seconds / longest.seconds)));
  }
  std::string text = fmt::format("{} of {} in the phase {}{}{}", seconds(longest.seconds),
                                 seconds(number_at(provenance, "wall_s")), longest.name,
                                 parts.empty() ? "" : ": ", fmt::join(parts, ", "));
  const Json& gemm = member(provenance, "gemm");
  const double rate = number_at(gemm, "gflops_per_s");
  if (rate > 0)
    text += fmt::format("; products at {} Gflop/s, {} of what they reach alone", number(rate),
                        percent(number_at(gemm, "share")));
  return text;
}

}  // namespace qsweep::report
