// A matrix in a workspace.
#pragma once

#include "graph/workspace.h"
#include "kernels/rows.h"

namespace qsweep::graph {

struct Scratch {
  std::shared_ptr<Workspace::Block> block;  // null: a view of somebody else's memory
  MatrixView view;

  Scratch() = default;
  explicit Scratch(MatrixView v) : view(v) {}
  Scratch(Workspace& workspace, DType dtype, int64_t rows, int64_t cols)
      : block(workspace.allocate(dtype, rows, cols)), view{block->data(), dtype, rows, cols, cols} {}

  template <class T>
  Matrix<T> matrix() const {
    return view.as<T>();
  }
  Matrix<float> f32() const { return matrix<float>(); }
  template <class T>
  std::span<T> elements() const {
    return {static_cast<T*>(view.data), static_cast<size_t>(view.rows * view.cols)};
  }
};

}  // namespace qsweep::graph
