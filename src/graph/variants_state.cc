// The state of Variants between two stages, as bytes. Blocks of memory are written whole and once: what
// shared one shares it again, so that a restored pass takes as much memory, and a parent that still equals
// the reference is known as such.
#include <algorithm>
#include <tuple>

#include "base/checked.h"
#include "graph/variants.h"

namespace qsweep::graph {

namespace {

using Block = std::shared_ptr<Workspace::Block>;

// Where a view lies in its block.
struct Place {
  uint64_t block = 0;  // counted from 1; 0: no block, no rows
  int64_t offset_bytes = 0;
  int64_t rows = 0, cols = 0, stride = 0;
  DType dtype = DType::f32;
};

class Blocks {
 public:
  void add(const Block& block) {
    if (block != nullptr && std::find(blocks_.begin(), blocks_.end(), block) == blocks_.end())
      blocks_.push_back(block);
  }

  void save(kernels::Device device, io::ByteSink& to) const {
    to.put(uint64_t{blocks_.size()});
    for (const Block& block : blocks_) {
      to.put(uint64_t{block->bytes().size()});
      to.write(kernels::HostCopy(device, block->bytes()).elements());
    }
  }

  void restore(kernels::Device device, io::ByteSource& from, Workspace& workspace) {
    for (auto n = from.get<uint64_t>(); n > 0; --n) {
      const auto size = from.get<uint64_t>();
      if (size > from.left()) fail("expected a block of {} bytes, found {} bytes", size, from.left());
      blocks_.push_back(workspace.allocate(DType::u8, 1, static_cast<int64_t>(size)));
      kernels::HostCopy block(device, blocks_.back()->bytes());
      from.read(block.elements());
      block.write_back();
    }
  }

  Place place(const Block& block, const MatrixView& view) const {
    if (block == nullptr) {
      QSWEEP_CHECK(view.data == nullptr, "a value of {} rows that stages leave has no memory of its own",
                   view.rows);
      return {};
    }
    const auto it = std::find(blocks_.begin(), blocks_.end(), block);
    return {.block = static_cast<uint64_t>(it - blocks_.begin()) + 1,
            .offset_bytes = static_cast<const std::byte*>(view.data) - block->bytes().data(),
            .rows = view.rows,
            .cols = view.cols,
            .stride = view.stride,
            .dtype = view.dtype};
  }

  // The view at a place, and its block.
  std::pair<Block, MatrixView> at(const Place& p, DType expected) const {
    if (p.block == 0) return {};
    if (p.block > blocks_.size()) fail("expected one of {} blocks, found number {}", blocks_.size(), p.block);
    const Block& block = blocks_[p.block - 1];
    const auto size = static_cast<int64_t>(block->bytes().size());
    const bool fits = p.dtype == expected && p.offset_bytes >= 0 && p.offset_bytes <= size && p.rows >= 0 &&
                      p.cols >= 0 && p.stride >= p.cols &&
                      (p.rows == 0 || checked_mul(checked_add(checked_mul(p.rows - 1, p.stride), p.cols),
                                                  size_bytes(expected)) <= size - p.offset_bytes);
    if (!fits) fail("expected a view inside a block of {} bytes, found [{}, {}]", size, p.rows, p.cols);
    return {block, {block->bytes().data() + p.offset_bytes, p.dtype, p.rows, p.cols, p.stride}};
  }

 private:
  std::vector<Block> blocks_;
};

void check_ranges(const std::vector<PairRange>& ranges, int64_t pairs) {
  int64_t end = 0;
  for (const PairRange& range : ranges) {
    if (range.first < end || range.last <= range.first || range.last > pairs)
      fail("expected ascending ranges of {} pairs, found [{}, {})", pairs, range.first, range.last);
    end = range.last;
  }
}

}  // namespace

void Variants::save(io::ByteSink& to) const {
  Blocks blocks;
  for (const State& state : states_) {
    for (const auto& [name, value] : state.values) blocks.add(value.block);
    for (const auto& [name, delta] : state.deltas) blocks.add(delta.block);
  }
  blocks.save(pass_.ops.device(), to);
  to.put(flops_);
  to.put(uint64_t{states_.size()});
  for (const State& state : states_) {
    to.put(state.pairs.size());
    for (int64_t i = 0; i < state.pairs.size(); ++i) to.put(state.pairs[i]);
    to.put(uint64_t{state.values.size()});
    for (const auto& [name, value] : state.values) {
      to.put(name);
      to.put(blocks.place(value.block, view_of(value.matrix)));
    }
    to.put(uint64_t{state.deltas.size()});
    for (const auto& [name, delta] : state.deltas) {
      to.put(name);
      to.put(delta.kind);
      to.put(delta.ranges);
      to.put(blocks.place(delta.block, delta.view));
    }
  }
}

void Variants::restore(io::ByteSource& from) {
  Blocks blocks;
  blocks.restore(pass_.ops.device(), from, pass_.workspace);
  flops_ = from.get<double>();
  if (const auto n = from.get<uint64_t>(); n != states_.size())
    fail("expected {} branches, found {}", states_.size(), n);
  for (State& state : states_) {
    for (auto n = from.get<int64_t>(); n > 0; --n) {
      const auto pair = from.get<Pair>();
      const auto leaf = static_cast<size_t>(pair.variant);
      if (leaf >= state.branch.leaves.size() || pair.sample < 0 || pair.sample >= pass_.batch.samples())
        fail("expected a leaf and a sample, found ({}, {})", pair.variant, pair.sample);
      pair_of(state, {leaf, pair.sample}) = state.pairs.size();
      state.pairs.add(pair);
    }
    for (auto n = from.get<uint64_t>(); n > 0; --n) {
      const auto name = from.get<std::string>();
      const auto [block, view] = blocks.at(from.get<Place>(), DType::f32);
      state.values[name] = {block, {static_cast<float*>(view.data), view.rows, view.cols, view.stride}};
    }
    for (auto n = from.get<uint64_t>(); n > 0; --n) {
      const auto name = from.get<std::string>();
      Delta& delta = state.deltas[name];
      delta.kind = from.get<Rows>();
      delta.ranges = from.get<std::vector<PairRange>>();
      check_ranges(delta.ranges, state.pairs.size());
      std::tie(delta.block, delta.view) = blocks.at(from.get<Place>(), dtype_);
    }
  }
}

}  // namespace qsweep::graph
