#include "pass/head_sketch.h"

namespace qsweep::pass {
namespace {

using graph::Scratch;
using kernels::LogitsSums;
using kernels::ProbeKind;
using kernels::ProbeRow;
using scores::Which;

ProbeKind kind_of(Which which) { return which == Which::kl ? ProbeKind::fisher : ProbeKind::rademacher; }

// None for a width of 0.
std::vector<ProbeRow> probes_of(const PassInput& input, int64_t width, const graph::Batch& batch,
                                const TokenRows& rows) {
  const ProbeSet set{.kind = kind_of(input.sketch.which), .metric = {input.sketch.which, scores::Scope::all}};
  std::vector<Probe> probes;
  for (int64_t r = 0; r < width; ++r) probes.push_back({.set = 0, .index = r});
  return probe_rows(probes, {&set, 1}, {input.sketch.seed, input.sample_index}, batch, rows);
}

}  // namespace

HeadSketch::HeadSketch(const PassInput& input, const graph::Pass& pass, const TokenRows& rows,
                       int64_t leaf_rows)
    : pass_(pass),
      which_(input.sketch.which),
      width_(leaf_rows > 0 ? input.sketch.width : 0),
      signs_(device(), probes_of(input, width_, pass.batch, rows)),
      projections_(device(), probes_of(input, which_ == Which::kl ? width_ : 0, pass.batch, rows)) {
  if (!wanted()) return;
  held_ = pass_.workspace.hold((std::ssize(signs_.for_host()) + std::ssize(projections_.for_host())) *
                               int64_t{sizeof(ProbeRow)});
  products_ = Scratch(pass_.workspace, DType::f64, leaf_rows, width_);
  if (!dry()) kernels::clear(device(), products_.view.data, leaf_rows * width_ * int64_t{sizeof(double)});
}

void HeadSketch::add(const HeadTile& tile, std::span<const kernels::RowBlock> blocks,
                     Matrix<const float> logits, std::span<const kernels::LogitsNormalizer> normalizers,
                     Matrix<const float> changes, std::span<const LogitsSums> sums) {
  const Scratch u(pass_.workspace, DType::f32, width_ * logits.rows, logits.cols);
  if (dry()) return;
  kernels::fill_probes(device(), kind_of(which_), signs_.for_kernels(), logits, normalizers, tile.first,
                       u.view);
  const bool kl = which_ == Which::kl;
  if (kl) kernels::add_projections(device(), projections_.for_kernels(), logits, normalizers, tile.first);
  // What a whole row's changes have in common is nothing to the softmax, but much to f32.
  kernels::probe_products(device(), blocks, width_, u.f32(), view_of(changes),
                          kl ? sums : std::span<const LogitsSums>(), products_.elements<double>());
}

void HeadSketch::add_hidden(std::span<const kernels::RowBlock> blocks, Matrix<const float> hidden,
                            std::span<const kernels::LogitsNormalizer> normalizers, MatrixView changes) {
  const Scratch u(pass_.workspace, DType::f32, width_ * hidden.rows, hidden.cols);
  if (dry()) return;
  kernels::fill_probes(device(), ProbeKind::rademacher, signs_.for_kernels(), hidden, normalizers, 0, u.view);
  kernels::probe_products(device(), blocks, width_, u.f32(), changes, {}, products_.elements<double>());
}

std::vector<float> HeadSketch::of(const kernels::RowBlock& block, std::span<const LogitsSums> sums) {
  if (!found_) found_.emplace(device(), products_.elements<double>());
  const std::span<const double> found = found_->elements();
  const std::span<const ProbeRow> projections = projections_.for_host();
  const auto tokens = static_cast<int64_t>(projections.size()) / width_;
  std::vector<float> sketch;
  for (int64_t row = 0; row < block.rows; ++row)
    for (int64_t r = 0; r < width_; ++r) {
      double a = found[static_cast<size_t>((block.in[0] + row) * width_ + r)];
      if (which_ == Which::kl)
        a -= sums[static_cast<size_t>(block.out + row)].mean *
             projections[static_cast<size_t>(r * tokens + block.parent + row)].projection;
      sketch.push_back(static_cast<float>(a));
    }
  return sketch;
}

}  // namespace qsweep::pass
