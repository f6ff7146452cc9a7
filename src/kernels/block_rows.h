// The rows of blocks: finding them, and splitting those of many blocks evenly over the threads.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/rows.h"

namespace qsweep::kernels {

// Row `r` of a block whose rows begin at `first` in `m`; null where the block has none.
template <class T>
T* row_or_null(DeltaView m, int64_t first, int64_t r) {
  return first == kAbsent ? nullptr : m.as<T>().row(first + r);
}

// body(block, first, count): rows [first, first + count) of one block. All blocks' rows are cut into one
// equal piece per thread, whatever the blocks' sizes.
template <class Body>
void for_block_rows(Threads threads, std::span<const RowBlock> blocks, Body&& body) {
  std::vector<int64_t> start(blocks.size() + 1, 0);
  for (size_t b = 0; b < blocks.size(); ++b) start[b + 1] = start[b] + blocks[b].rows;
  parallel_for(threads, start.back(), [&](int64_t begin, int64_t end) {
    auto b = static_cast<size_t>(std::upper_bound(start.begin(), start.end(), begin) - start.begin()) - 1;
    for (; b < blocks.size() && start[b] < end; ++b) {
      const int64_t first = std::max(begin, start[b]) - start[b];
      const int64_t last = std::min(end, start[b + 1]) - start[b];
      if (first < last) body(blocks[b], first, last - first);
    }
  });
}

}  // namespace qsweep::kernels
