#include "cli/provenance.h"

#include <filesystem>

#include "base/process.h"
#include "base/readable.h"
#include "io/sha256.h"
#include "kernels/gpu.h"

namespace qsweep::cli {
namespace {

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// By phase and kind of work.
io::Json work_provenance(const std::vector<trace::Phase>& phases) {
  io::Json work = io::Json::object();
  for (const trace::Phase& phase : phases)
    for (const auto& [kind, account] : phase.kinds) {
      io::Json& entry = work[phase.name][kind] = {{"calls", account.calls}, {"seconds", account.self_s}};
      if (account.work.flops > 0) entry["flops"] = account.work.flops;
      if (account.work.bytes > 0) entry["bytes"] = account.work.bytes;
    }
  return work;
}

io::Json usage_provenance(const ProcessUsage& usage) {
  return {
      {"user_s", usage.user_s},
      {"system_s", usage.system_s},
      {"page_faults", usage.page_faults},
      {"page_faults_read", usage.page_faults_read},
      {"storage_read_bytes", usage.storage_read_bytes ? io::Json(*usage.storage_read_bytes) : io::Json()}};
}

io::Json rates_provenance(std::span<const sweep::MeasuredProduct> rates) {
  io::Json shapes = io::Json::array();
  for (const auto& [shape, flops_per_s] : rates)
    shapes.push_back({{"dtype", name(shape.dtype)},
                      {"rows", shape.rows},
                      {"in", shape.in},
                      {"out", shape.out},
                      {"planned_gflop", shape.flops * 1e-9},
                      {"gflops_per_s", flops_per_s * 1e-9}});
  return shapes;
}

// What a phase's products were in all, and what of the machine's rate that is.
void add_rate(io::Json& gemm, const std::string& prefix, const kernels::GemmCount& products, double seconds,
              double measured_rate) {
  gemm[prefix + "gflop"] = products.flops * 1e-9;
  gemm[prefix + "gflops_per_s"] = products.flops / seconds * 1e-9;
  gemm[prefix + "share"] = products.flops / seconds / measured_rate;
}

io::Json gemm_provenance(const sweep::RunReport& report, std::span<const sweep::MeasuredProduct> rates,
                         const schedule::Devices& devices) {
  const double rate = sweep::overall_rate(rates);
  kernels::GemmCount all = report.reference;
  all.add(report.deltas);
  io::Json gemm = io::Json::object();
  add_rate(gemm, "", all, report.phases_s.at("sweep"), rate);
  const kernels::GemmCount& deltas = report.deltas;
  const double seconds_of_each = all.seconds / static_cast<double>(devices.size());
  gemm.update({{"share_within_products", all.flops / seconds_of_each / rate},
               {"peak_gflops_per_s", rate * 1e-9},
               {"peak_of", rates_provenance(rates)},
               {"delta_gflop", deltas.flops * 1e-9},
               {"delta_bf16_share", deltas.flops > 0 ? deltas.bf16_flops / deltas.flops : 0},
               {"delta_products", deltas.calls},
               {"bf16", devices.first().gemm.bf16_reason()}});
  if (report.estimates.calls > 0)
    add_rate(gemm, "estimate_", report.estimates, report.phases_s.at("estimate"), rate);
  return gemm;
}

// The last part of a folder's path, which may be ".", or end in a slash as shells complete it.
std::string folder_name(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::absolute(path).lexically_normal();
  const std::filesystem::path name =
      folder.has_filename() ? folder.filename() : folder.parent_path().filename();
  return name.empty() ? "/" : valid_utf8(name.string());
}

}  // namespace

void expect_scores_of(const scores::Run& scored, const scores::ModelInfo& model, const std::string& flag,
                      const std::string& folder) {
  const std::string& expected = model.weights_sha256_of_headers;
  const std::string& found = scored.model.weights_sha256_of_headers;
  if (found != expected)
    fail("{}: {}: expected scores of {} (headers {:.8}), found those of {} (headers {:.8})", flag, folder,
         model.path_name, expected, scored.model.path_name, found);
}

Provenance::Provenance(const Engine& engine, const EngineFlags& flags, trace::Recorder& recorder,
                       Clock::time_point start)
    : engine_(engine), flags_(flags), recorder_(recorder), start_(start) {
  if (!engine.gpus.empty()) clock_ = kernels::gpu_clock(*engine.gpus.front());
  recorder_.use_clock(clock_.get());
  const trace::Span span(trace::kPhase, "load");
  data_sha256_ = io::sha256_hex_of_file(flags.data);
}

Provenance::~Provenance() { recorder_.use_clock(nullptr); }

scores::ModelInfo model_info(const models::Model& model, const std::string& folder) {
  int64_t other_bytes = model.checkpoint.size_bytes();
  for (const graph::LinearOp& op : model.ops) other_bytes -= op.cache ? 0 : op.weight.own_bytes();
  return {.path_name = folder_name(folder),
          .family = model.family,
          .parameters = model.checkpoint.parameters(),
          .weights_sha256_of_headers = model.checkpoint.headers_sha256(),
          .tied_embeddings = model.tied_embeddings,
          .other_bytes = other_bytes};
}

scores::ModelInfo Provenance::model() const { return model_info(engine_.model, flags_.model); }

void Provenance::complete(scores::DataInfo& data) const {
  data.file_name = valid_utf8(std::filesystem::path(flags_.data).filename().string());
  data.sha256 = data_sha256_;
}

std::span<const sweep::MeasuredProduct> Provenance::measure_rates(
    const std::vector<schedule::ProductShape>& products, const schedule::MemoryPlan& plan) {
  const trace::Span span(trace::kPhase, "rate");
  rates_ = sweep::measure_rates(*engine_.devices, products, plan);
  return rates_;
}

io::Json Provenance::json(const sweep::RunReport& report, int64_t planned_bytes) const {
  const std::vector<trace::Phase> recorded = recorder_.phases();
  io::Json phases = io::Json::object();
  for (const trace::Phase& phase : recorded) phases[phase.name] = phase.seconds;
  for (const auto& [phase, seconds] : report.earlier_s) phases[phase] = phases.value(phase, 0.0) + seconds;
  return {{"version", QSWEEP_VERSION},
          {"isa", kernels::isa_name()},
          {"threads", flags_.threads},
          {"libraries", {{"oneDNN", kernels::onednn_version()}}},
          {"wall_s", seconds_since(start_) + report.all_earlier_s()},
          {"earlier_s", report.earlier_s},
          {"processor", usage_provenance(process_usage())},
          {"peak_rss_bytes", peak_resident_bytes()},
          {"planned_bytes", planned_bytes},
          {"unused_tensors", engine_.model.unused_tensors},
          {"input_warnings", engine_.warnings},
          {"gemm", gemm_provenance(report, rates_, *engine_.devices)},
          {"phases_s", phases},
          {"work", work_provenance(recorded)}};
}

}  // namespace qsweep::cli
