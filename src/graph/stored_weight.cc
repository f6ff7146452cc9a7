#include "graph/stored_weight.h"

namespace qsweep::graph {
namespace {

int64_t row_elements(const TensorView& view) { return view.elements() / view.shape[0]; }

// Without the codes of other rows, where those stand together.
Scaled rows_of(const Scaled& all, int64_t from, int64_t count) {
  Scaled part = all;
  part.first += from * all.every;
  if (all.every != 1) return part;
  const int64_t bytes = row_elements(all.codes) * size_bytes(all.codes.dtype);
  part.codes.shape[0] = count;
  if (part.codes.data != nullptr) part.codes.data += part.first * bytes;
  part.above += part.first;
  part.first = 0;
  return part;
}

const uint8_t* bytes(const TensorView& view) { return reinterpret_cast<const uint8_t*>(view.data); }

void unpack_scaled(kernels::Device device, const Scaled& s, const std::vector<TensorView>& parts,
                   MatrixView y) {
  kernels::scale_codes(device,
                       {.kind = s.kind,
                        .codes = bytes(parts[0]),
                        .row_bytes = row_elements(s.codes) * size_bytes(s.codes.dtype),
                        .first = s.first,
                        .every = s.every,
                        .above = s.above,
                        .block_rows = s.block_rows,
                        .block_columns = s.block_columns,
                        .scales = parts[1].data,
                        .scale_dtype = s.scales.dtype,
                        .scale_columns = s.scales.shape[1],
                        .whole = s.whole ? reinterpret_cast<const float*>(parts.back().data) : nullptr,
                        .divided = s.divided,
                        .zeros = s.zeros ? bytes(parts[2]) : nullptr},
                       y);
}

void unpack_columns(kernels::Device device, const ByColumns& s, const std::vector<TensorView>& parts,
                    MatrixView y) {
  kernels::scale_columns(device,
                         {.words = s.words,
                          .bits = s.bits,
                          .codes = bytes(parts[0]),
                          .rows = s.scales.shape[1],
                          .first = s.first,
                          .scales = parts[1].data,
                          .scale_dtype = s.scales.dtype,
                          .zeros = bytes(parts[2]),
                          .zero_offset = s.zero_offset,
                          .groups = s.groups ? bytes(parts[3]) : nullptr,
                          .columns_of_group = s.columns_of_group},
                         y);
}

}  // namespace

StoredWeight::StoredWeight(DType as, Shape of, Strided strided) : TensorView{as, std::move(of), nullptr} {
  const int64_t rows = shape[0], cols = row_elements(*this);
  QSWEEP_CHECK(strided.first + (rows - 1) * strided.row_step + (cols - 1) * strided.column_step <
                   strided.source.elements(),
               "{} beyond the end of {}", to_string(shape), to_string(strided.source.shape));
  layout = std::move(strided);
}

StoredWeight::StoredWeight(DType as, Shape of, Scaled scaled)
    : TensorView{as, std::move(of), nullptr}, layout(std::move(scaled)) {}

StoredWeight::StoredWeight(DType as, Shape of, ByColumns by_columns)
    : TensorView{as, std::move(of), nullptr}, layout(std::move(by_columns)) {}

std::vector<TensorView> StoredWeight::parts() const {
  if (const auto* strided = std::get_if<Strided>(&layout)) return {strided->source};
  if (const auto* scaled = std::get_if<Scaled>(&layout)) {
    std::vector<TensorView> parts{scaled->codes, scaled->scales};
    if (scaled->zeros) parts.push_back(*scaled->zeros);
    if (scaled->whole) parts.push_back(*scaled->whole);
    return parts;
  }
  if (const auto* by_columns = std::get_if<ByColumns>(&layout)) {
    std::vector<TensorView> parts{by_columns->codes, by_columns->scales, by_columns->zeros};
    if (by_columns->groups) parts.push_back(*by_columns->groups);
    return parts;
  }
  return {*this};
}

int64_t StoredWeight::part_bytes() const {
  int64_t bytes = 0;
  for (const TensorView& part : parts()) bytes += part.size_bytes();
  return bytes;
}

int64_t StoredWeight::own_bytes() const {
  if (const auto* scaled = std::get_if<Scaled>(&layout)) return part_bytes() / scaled->every;
  return std::holds_alternative<ByColumns>(layout) ? part_bytes() : size_bytes();
}

StoredWeight StoredWeight::rows(int64_t from, int64_t count) const {
  Shape of = shape;
  of[0] = count;
  if (const auto* strided = std::get_if<Strided>(&layout)) {
    Strided part = *strided;
    part.first += from * part.row_step;
    return {dtype, std::move(of), std::move(part)};
  }
  if (const auto* scaled = std::get_if<Scaled>(&layout))
    return {dtype, std::move(of), rows_of(*scaled, from, count)};
  if (const auto* by_columns = std::get_if<ByColumns>(&layout)) {
    ByColumns part = *by_columns;
    part.first += from;
    return {dtype, std::move(of), std::move(part)};
  }
  const int64_t offset = from * row_elements(*this) * qsweep::size_bytes(dtype);
  return TensorView{dtype, std::move(of), data == nullptr ? nullptr : data + offset};
}

void unpack(kernels::Device device, const StoredWeight& weight, const std::vector<TensorView>& parts,
            MatrixView y) {
  QSWEEP_CHECK(y.dtype == weight.dtype && y.rows * y.cols == weight.elements(), "[{}, {}] of {}", y.rows,
               y.cols, to_string(weight.shape));
  if (const auto* scaled = std::get_if<Scaled>(&weight.layout))
    return unpack_scaled(device, *scaled, parts, y);
  if (const auto* by_columns = std::get_if<ByColumns>(&weight.layout))
    return unpack_columns(device, *by_columns, parts, y);
  const auto& strided = std::get<Strided>(weight.layout);
  const std::byte* first = parts.front().data + strided.first * size_bytes(weight.dtype);
  const bool vector = weight.shape.size() == 1;
  kernels::copy_strided(device, first, strided.row_step, vector ? strided.row_step : strided.column_step, y);
}

}  // namespace qsweep::graph
