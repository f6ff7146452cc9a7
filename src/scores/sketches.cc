#include "scores/sketches.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>

#include "io/json.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "io/sha256.h"

namespace qsweep::scores {
namespace {

// Sums of f32 products, in f64 from one piece to the next.
constexpr int64_t kPiece = 256;

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    std::array<float, 16> lanes{};
    const int64_t end = std::min(begin + kPiece, n);
    int64_t i = begin;
    for (; i + std::ssize(lanes) <= end; i += std::ssize(lanes))
      for (size_t lane = 0; lane < lanes.size(); ++lane)
        lanes[lane] += a[i + static_cast<int64_t>(lane)] * b[i + static_cast<int64_t>(lane)];
    for (; i < end; ++i) lanes[0] += a[i] * b[i];
    sum += std::accumulate(lanes.begin(), lanes.end(), 0.0);
  }
  return sum;
}

template <class T>
TensorView view_of(const std::vector<T>& list, DType dtype, Shape shape) {
  return {dtype, std::move(shape), reinterpret_cast<const std::byte*>(list.data())};
}

// The tensor's elements. Error unless it has the dtype and shape.
template <class T>
void read_tensor(const io::SafetensorsFile& file, std::string_view name, DType dtype, const Shape& shape,
                 std::span<T> to) {
  const io::TensorEntry* const entry = file.find(name);
  if (entry == nullptr || entry->dtype != dtype || entry->shape != shape)
    fail("{}: expected the tensor {} as {} {}, found {}", file.file().path(), name, qsweep::name(dtype),
         to_string(shape),
         entry == nullptr ? "none"
                          : fmt::format("{} {}", qsweep::name(entry->dtype), to_string(entry->shape)));
  const TensorView view = file.view(*entry);
  std::copy_n(view.data, view.size_bytes(), reinterpret_cast<std::byte*>(to.data()));
}

Shape shape_of(const io::SafetensorsFile& file, std::string_view name, size_t rank) {
  const io::TensorEntry* const entry = file.find(name);
  if (entry == nullptr || entry->shape.size() != rank)
    fail("{}: expected the tensor {} with {} dimensions, found {}", file.file().path(), name, rank,
         entry == nullptr ? "none" : to_string(entry->shape));
  return entry->shape;
}

std::string metadata_of(const io::SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) fail("{}: expected \"{}\" in the metadata", file.file().path(), key);
  return found->second;
}

void expect_same(const io::SafetensorsFile& file, const std::string& key, std::string_view expected) {
  if (const std::string found = metadata_of(file, key); found != expected)
    fail("{}: {}: expected \"{}\", found \"{}\"; the file is of another run", file.file().path(), key,
         expected, found);
}

io::Json name_of(const Run& run, size_t number) {
  if (number >= run.scores.size()) {
    const GroupScore& group = run.groups[number - run.scores.size()];
    return {group.name, group.format};
  }
  const ScoreRecord& score = run.scores[number];
  return {run.ops[static_cast<size_t>(score.op)].name, score.format};
}

// Of the parts from the first one up to the end.
io::Json names_of(const Run& run, std::span<const size_t> parts, size_t first, size_t end) {
  io::Json names = io::Json::array();
  for (const size_t i : parts)
    if (i >= first && i < end) names.push_back(name_of(run, i));
  return names;
}

bool may_have_a_sketch(const Run& run, size_t number) {
  return number >= run.scores.size() || run.scores[number].method == Method::exact;
}

// The parts from the first one up to the end that the file names at the key, ascending as it has them.
void add_named(const Run& run, const io::SafetensorsFile& file, const std::string& key, size_t first,
               size_t end, std::vector<size_t>& parts) {
  const io::Json names = io::parse_json(metadata_of(file, key), file.file().path() + ": " + key);
  size_t found = 0;
  for (size_t i = first; i < end && found < names.size(); ++i)
    if (may_have_a_sketch(run, i) && name_of(run, i) == names[found]) {
      parts.push_back(i);
      ++found;
    }
  if (found != names.size())
    fail("{}: expected {} of the run, found {} of {} there; the file is of another run", file.file().path(),
         key, found, names.size());
}

std::vector<size_t> parts_of(const Run& run, const io::SafetensorsFile& file) {
  std::vector<size_t> parts;
  const size_t scores = run.scores.size();
  add_named(run, file, "scores", 0, scores, parts);
  if (file.metadata().contains("groups"))
    add_named(run, file, "groups", scores, scores + run.groups.size(), parts);
  return parts;
}

}  // namespace

Sketches::Sketches(Which which, int64_t width, std::span<const std::vector<uint8_t>> answers,
                   std::vector<size_t> scores)
    : which_(which), width_(width), first_{0}, scores_(std::move(scores)) {
  QSWEEP_CHECK(std::ranges::adjacent_find(scores_, std::greater_equal<>()) == scores_.end(),
               "scores must ascend");
  for (const std::vector<uint8_t>& sample : answers) {
    answers_.insert(answers_.end(), sample.begin(), sample.end());
    first_.push_back(std::ssize(answers_));
  }
  values_.resize(scores_.size() * static_cast<size_t>(positions() * width_));
  errors_.resize(scores_.size() * static_cast<size_t>(samples()));
}

size_t Sketches::place(size_t score) const {
  const auto found = std::ranges::lower_bound(scores_, score);
  QSWEEP_CHECK(found != scores_.end() && *found == score, "score {} has no sketch", score);
  return static_cast<size_t>(found - scores_.begin());
}

std::span<float> Sketches::of(size_t score, int64_t sample) {
  const auto s = static_cast<size_t>(sample);
  const int64_t row = static_cast<int64_t>(place(score)) * positions() + first_[s];
  return std::span(values_).subspan(static_cast<size_t>(row * width_),
                                    static_cast<size_t>((first_[s + 1] - first_[s]) * width_));
}

std::array<double, 2>& Sketches::error(size_t score, int64_t sample) {
  return errors_[place(score) * static_cast<size_t>(samples()) + static_cast<size_t>(sample)];
}
const std::array<double, 2>& Sketches::error(size_t score, int64_t sample) const {
  return errors_[place(score) * static_cast<size_t>(samples()) + static_cast<size_t>(sample)];
}

bool Sketches::has(size_t score) const { return std::ranges::binary_search(scores_, score); }

int64_t Sketches::positions(Scope scope, int64_t sample) const {
  const int64_t begin = first_[static_cast<size_t>(sample)], end = first_[static_cast<size_t>(sample) + 1];
  return scope == Scope::all ? end - begin
                             : std::count(answers_.begin() + begin, answers_.begin() + end, uint8_t{1});
}

Interactions Sketches::interactions(Scope scope, std::span<const int64_t> samples, Threads threads) const {
  std::vector<int64_t> rows;
  for (const int64_t sample : samples)
    for (int64_t row = first_[static_cast<size_t>(sample)]; row < first_[static_cast<size_t>(sample) + 1];
         ++row)
      if (scope == Scope::all || answers_[static_cast<size_t>(row)] != 0) rows.push_back(row);
  const size_t n = scores_.size(), length = rows.size() * static_cast<size_t>(width_);
  std::vector<float> chosen;
  chosen.reserve(n * length);
  for (size_t i = 0; i < n; ++i)
    for (const int64_t row : rows) {
      const float* const from = values_.data() + (static_cast<int64_t>(i) * positions() + row) * width_;
      chosen.insert(chosen.end(), from, from + width_);
    }
  const double scale = (which_ == Which::kl ? 0.5 : 1.0) / static_cast<double>(width_);
  std::vector<double> products(n * n);
  parallel_for(threads, static_cast<int64_t>(n), [&](int64_t begin, int64_t end) {
    // Rows of equal work: the shortest beside the longest.
    for (int64_t k = begin; k < end; ++k) {
      const auto i = static_cast<size_t>(k % 2 == 0 ? k / 2 : static_cast<int64_t>(n) - 1 - k / 2);
      for (size_t j = 0; j <= i; ++j)
        products[i * n + j] = products[j * n + i] =
            scale * dot(chosen.data() + i * length, chosen.data() + j * length, static_cast<int64_t>(length));
    }
  });
  return {scores_, std::move(products)};
}

Interactions Sketches::interactions(Scope scope, Threads threads) const {
  std::vector<int64_t> all(static_cast<size_t>(samples()));
  std::iota(all.begin(), all.end(), int64_t{0});
  return interactions(scope, all, threads);
}

std::vector<MetricInteractions> Sketches::interactions(Threads threads) const {
  std::vector<MetricInteractions> found{{{which_, Scope::all}, interactions(Scope::all, threads)}};
  if (std::ranges::count(answers_, 1) > 0)
    found.push_back({{which_, Scope::answer}, interactions(Scope::answer, threads)});
  return found;
}

std::string Sketches::digest() const {
  io::Sha256 digest;
  digest.update(std::as_bytes(std::span(values_)));
  digest.update(std::as_bytes(std::span(errors_)));
  digest.update(std::as_bytes(std::span(first_)));
  digest.update(std::as_bytes(std::span(answers_)));
  return digest.hex();
}

namespace {

// What was measured of the part, as it would be of these samples alone.
void keep_samples(Measurement& measured, const Sketches& sketches, size_t part,
                  std::span<const int64_t> samples) {
  measured.total.reset();
  measured.intervals = {};
  measured.measured = Measured::none();
  if (!sketches.has(part)) return;
  ScopedSums total;
  for (const Scope scope : kAllScopes) {
    double error = 0;
    for (const int64_t sample : samples) {
      error += sketches.error(part, sample)[static_cast<size_t>(scope)];
      total.of(scope).positions += sketches.positions(scope, sample);
    }
    set_sum(total.of(scope), sketches.which(), error);
    measured.measured.add({sketches.which(), scope});
  }
  blank_unmeasured(total, measured.measured);
  if (sum(total.all, sketches.which()) != 0) measured.total = total;
}

}  // namespace

Run on_samples(Run run, const Sketches& sketches, std::span<const int64_t> samples) {
  for (size_t i = 0; i < run.scores.size(); ++i) keep_samples(run.scores[i], sketches, i, samples);
  for (size_t i = 0; i < run.groups.size(); ++i)
    keep_samples(run.groups[i], sketches, part_of_group(run, i), samples);
  return run;
}

void write_sketches(const Run& run, const Sketches& sketches, const std::string& folder) {
  const size_t ops = run.scores.size(), all = ops + run.groups.size();
  std::map<std::string, std::string> metadata{
      {"schema", std::string(kSketchesSchema)},
      {"metric", std::string(name(sketches.which_))},
      {"scores", names_of(run, sketches.scores_, 0, ops).dump()},
      {"data_sha256", run.data.sha256},
      {"weights_sha256_of_headers", run.model.weights_sha256_of_headers},
      {"sha256", sketches.digest()}};
  if (const io::Json groups = names_of(run, sketches.scores_, ops, all); !groups.empty())
    metadata["groups"] = groups.dump();
  const int64_t scores = std::ssize(sketches.scores_), samples = sketches.samples();
  std::vector<int64_t> positions(sketches.first_.size());
  std::adjacent_difference(sketches.first_.begin(), sketches.first_.end(), positions.begin());
  positions.erase(positions.begin());
  io::write_safetensors(
      fmt::format("{}/{}", folder, kSketchesFile),
      std::array{io::NamedTensor{"sketches", view_of(sketches.values_, DType::f32,
                                                     {scores, sketches.positions(), sketches.width_})},
                 io::NamedTensor{"errors", view_of(sketches.errors_, DType::f64, {scores, samples, 2})},
                 io::NamedTensor{"positions", view_of(positions, DType::i64, {samples})},
                 io::NamedTensor{"answers", view_of(sketches.answers_, DType::u8, {sketches.positions()})}},
      metadata);
}

std::optional<Sketches> read_sketches(const Run& run, const std::string& folder) {
  const std::string path = fmt::format("{}/{}", folder, kSketchesFile);
  if (!std::filesystem::exists(path)) return std::nullopt;
  const io::SafetensorsFile file = io::SafetensorsFile::open(path);
  if (const std::string schema = metadata_of(file, "schema"); schema != kSketchesSchema)
    fail("{}: expected the schema \"{}\", found \"{}\"", path, kSketchesSchema, schema);
  expect_same(file, "data_sha256", run.data.sha256);
  expect_same(file, "weights_sha256_of_headers", run.model.weights_sha256_of_headers);
  const Metric metric = parse_metric(metadata_of(file, "metric"));

  const Shape shape = shape_of(file, "sketches", 3);
  const int64_t samples = shape_of(file, "positions", 1)[0];
  std::vector<int64_t> positions(static_cast<size_t>(samples));
  read_tensor(file, "positions", DType::i64, {samples}, std::span(positions));
  std::vector<std::vector<uint8_t>> answers;
  int64_t left = shape[1];
  for (const int64_t count : positions) {
    if (count < 0 || count > left) fail("{}: positions: expected {} in all, found more", path, shape[1]);
    left -= count;
    answers.emplace_back(static_cast<size_t>(count));
  }
  if (left != 0) fail("{}: positions: expected {} in all, found {}", path, shape[1], shape[1] - left);
  Sketches sketches(metric.which, shape[2], answers, parts_of(run, file));
  const int64_t scores = std::ssize(sketches.scores_);
  read_tensor(file, "sketches", DType::f32, {scores, shape[1], shape[2]}, std::span(sketches.values_));
  read_tensor(file, "errors", DType::f64, {scores, samples, 2}, std::span(sketches.errors_));
  read_tensor(file, "answers", DType::u8, {shape[1]}, std::span(sketches.answers_));
  if (const std::string sha256 = metadata_of(file, "sha256"); sha256 != sketches.digest())
    fail("{}: expected tensors with the SHA-256 {}, found {}; the file is damaged", path, sha256,
         sketches.digest());
  if (!std::ranges::all_of(sketches.values_, [](float v) { return std::isfinite(v); }))
    fail("{}: expected finite numbers, found others", path);
  return sketches;
}

}  // namespace qsweep::scores
