// Arbitrary bytes as the other side of a comparison: an Error, or a ranking that compares without breaking.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "compare/agreement.h"
#include "compare/other.h"

namespace {

using namespace qsweep;

std::vector<scores::OpRecord> ops() {
  std::vector<scores::OpRecord> records;
  for (const char* role : {"q_proj", "k_proj", "o_proj"}) {
    scores::OpRecord op;
    op.name = std::string("model.layers.0.self_attn.") + role;
    op.tower = "language";
    if (*role != 'o') op.fusion_group = "model.layers.0.self_attn.qkv";
    records.push_back(op);
  }
  return records;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto records = ops();
  compare::Ranking run;
  run.source = "run";
  for (const auto& op : records)
    run.entries.push_back({op.name, {op.name}, static_cast<double>(run.entries.size())});
  const scores::ScoreGroup like{"w8a8", scores::Mode::isolated, scores::Method::exact, {}};
  try {
    const io::Json json = io::parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
    const compare::Ranking other = compare::other_from_json(json, "fuzz", {}, like);
    const compare::Agreement agreement = compare::compare(records, run, other);
    for (const compare::Unit& unit : agreement.units)
      if (!std::isfinite(unit.other_score) || unit.members.empty()) std::abort();
    compare::to_json(agreement).dump();
  } catch (const Error&) {
  }
  return 0;
}
