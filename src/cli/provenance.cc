#include "cli/provenance.h"

#include <algorithm>
#include <filesystem>

#include "base/process.h"
#include "io/sha256.h"
#include "sweep/rate.h"

namespace qsweep::cli {
namespace {

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Rows that a typical product of the sweep has: half of all pairs are live on average.
int64_t typical_rows(const Engine& engine, size_t variants) {
  constexpr int64_t kMost = 4096;
  int64_t tokens = 0;
  for (const models::Sample& s : engine.data) tokens += static_cast<int64_t>(s.token_ids.size());
  return std::clamp<int64_t>(tokens * static_cast<int64_t>(variants) / 2, 64, kMost);
}

io::Json gemm_provenance(const sweep::RunReport& report, double measured_rate,
                         const std::string& bf16_reason) {
  const kernels::GemmCount &reference = report.reference, &deltas = report.deltas;
  const double flops = reference.flops + deltas.flops, seconds = report.phases_s.at("sweep");
  io::Json gemm = {{"gflop", flops * 1e-9},
                   {"gflops_per_s", flops / seconds * 1e-9},
                   {"peak_gflops_per_s", measured_rate * 1e-9},
                   {"share", flops / seconds / measured_rate},
                   {"share_within_products", flops / (reference.seconds + deltas.seconds) / measured_rate},
                   {"delta_gflop", deltas.flops * 1e-9},
                   {"delta_bf16_share", deltas.flops > 0 ? deltas.bf16_flops / deltas.flops : 0},
                   {"delta_products", deltas.calls},
                   {"bf16", bf16_reason}};
  if (report.estimates.calls > 0) {
    const double rate = report.estimates.flops / report.phases_s.at("estimate");
    gemm["estimate_gflop"] = report.estimates.flops * 1e-9;
    gemm["estimate_gflops_per_s"] = rate * 1e-9;
    gemm["estimate_share"] = rate / measured_rate;
  }
  return gemm;
}

}  // namespace

Provenance::Provenance(const Engine& engine, const EngineFlags& flags, Clock::time_point start)
    : engine_(engine),
      flags_(flags),
      start_(start),
      data_sha256_(io::sha256_hex_of_file(flags.data)),
      phases_s_{{"load", seconds_since(start)}} {}

scores::ModelInfo Provenance::model() const {
  return {.path_name = std::filesystem::absolute(flags_.model).lexically_normal().filename().string(),
          .family = engine_.model.family,
          .parameters = engine_.model.checkpoint.parameters(),
          .weights_sha256_of_headers = engine_.model.checkpoint.headers_sha256()};
}

void Provenance::complete(scores::DataInfo& data) const {
  data.file_name = std::filesystem::path(flags_.data).filename().string();
  data.sha256 = data_sha256_;
}

void Provenance::measure_rate(bool strict, size_t variants) {
  const bool bf16 = !strict && engine_.gemm->native_bf16();
  timed("rate", [&] {
    rate_ = sweep::measure_model_rate(engine_.model, *engine_.gemm, bf16 ? DType::bf16 : DType::f32,
                                      typical_rows(engine_, variants));
  });
}

io::Json Provenance::json(const sweep::RunReport& report, int64_t planned_bytes) const {
  io::Json phases = report.phases_s;
  for (const auto& [phase, seconds] : phases_s_) phases[phase] = seconds;
  return {{"version", QSWEEP_VERSION},
          {"isa", kernels::isa_name()},
          {"threads", flags_.threads},
          {"libraries", {{"oneDNN", kernels::onednn_version()}}},
          {"wall_s", seconds_since(start_) + report.earlier_s},
          {"earlier_s", report.earlier_s},
          {"peak_rss_bytes", peak_resident_bytes()},
          {"planned_bytes", planned_bytes},
          {"gemm", gemm_provenance(report, rate_, engine_.gemm->bf16_reason())},
          {"phases_s", phases}};
}

}  // namespace qsweep::cli
