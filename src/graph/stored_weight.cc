#include "graph/stored_weight.h"

#include "kernels/unpack.h"

namespace qsweep::graph {
namespace {

int64_t row_elements(const TensorView& view) { return view.elements() / view.shape[0]; }

}  // namespace

StoredWeight::StoredWeight(DType as, Shape of, Strided strided) : TensorView{as, std::move(of), nullptr} {
  const int64_t rows = shape[0], cols = row_elements(*this);
  QSWEEP_CHECK(strided.first + (rows - 1) * strided.row_step + (cols - 1) * strided.column_step <
                   strided.source.elements(),
               "{} beyond the end of {}", to_string(shape), to_string(strided.source.shape));
  layout = std::move(strided);
}

std::vector<TensorView> StoredWeight::parts() const {
  if (const auto* strided = std::get_if<Strided>(&layout)) return {strided->source};
  return {*this};
}

int64_t StoredWeight::part_bytes() const {
  int64_t bytes = 0;
  for (const TensorView& part : parts()) bytes += part.size_bytes();
  return bytes;
}

StoredWeight StoredWeight::rows(int64_t from, int64_t count) const {
  Shape of = shape;
  of[0] = count;
  if (const auto* strided = std::get_if<Strided>(&layout)) {
    Strided part = *strided;
    part.first += from * part.row_step;
    return {dtype, std::move(of), std::move(part)};
  }
  const int64_t offset = from * row_elements(*this) * qsweep::size_bytes(dtype);
  return TensorView{dtype, std::move(of), data == nullptr ? nullptr : data + offset};
}

void unpack(kernels::Device device, const StoredWeight& weight, const std::vector<TensorView>& parts,
            MatrixView y) {
  QSWEEP_CHECK(y.dtype == weight.dtype && y.rows * y.cols == weight.elements(), "[{}, {}] of {}", y.rows,
               y.cols, to_string(weight.shape));
  const auto& strided = std::get<Strided>(weight.layout);
  const std::byte* first = parts.front().data + strided.first * size_bytes(weight.dtype);
  const bool vector = weight.shape.size() == 1;
  kernels::copy_strided(device, first, strided.row_step, vector ? strided.row_step : strided.column_step, y);
}

}  // namespace qsweep::graph
