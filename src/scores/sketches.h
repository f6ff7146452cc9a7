// What exact isolated scores, and groups beside them, leave of their variants' changes of the output, for the
// inner products of any two. Here a score may be a group too: they are numbered as parts (run.h).
//
// Per position R numbers a_r with E[a_r a'_r] = d^T M d', where M is diag p - p p^T for kl, which is <d, d> /
// 2 to second order, and 1 for the squared errors (pass/head_sketch.h). So the sum of a_r a'_r / R over the
// positions, half of it for kl, estimates C = <d, d'> without bias; the variance of one position's share is
// at most (<d, d> <d', d'> + <d, d'>^2) / R.
//
// The file sketches.safetensors beside scores.json:
//
//   sketches   F32 [scores, positions, R], the samples' positions one after the other
//   errors     F64 [scores, samples, 2]: the metric's sums over all positions of a sample, and over answers
//   positions  I64 [samples]
//   answers    U8 [positions]: 1 where the next token is of an answer
//   metadata   schema "qsweep.sketches/1", metric, scores (JSON: [[op, format], ...]), groups, which stand
//              behind the scores (likewise [[group, format], ...]; not there where there are none),
//              data_sha256 and weights_sha256_of_headers as in scores.json, sha256 of the tensors in this
//              order
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "scores/interactions.h"
#include "scores/run.h"

namespace qsweep::scores {

inline constexpr std::string_view kSketchesSchema = "qsweep.sketches/1";
inline constexpr std::string_view kSketchesFile = "sketches.safetensors";

class Sketches {
 public:
  // answers: by sample and position. scores: parts, ascending.
  Sketches(Which which, int64_t width, std::span<const std::vector<uint8_t>> answers,
           std::vector<size_t> scores);

  bool operator==(const Sketches&) const = default;

  Which which() const { return which_; }
  int64_t width() const { return width_; }
  int64_t samples() const { return std::ssize(first_) - 1; }
  int64_t positions() const { return first_.back(); }
  std::span<const size_t> scores() const { return scores_; }

  // [positions of the sample, R] of a score that has a place here, zeros at first.
  std::span<float> of(size_t score, int64_t sample);
  // The metric's sums: all, answer.
  std::array<double, 2>& error(size_t score, int64_t sample);
  const std::array<double, 2>& error(size_t score, int64_t sample) const;
  bool has(size_t score) const;
  // Of the sample, in the scope.
  int64_t positions(Scope scope, int64_t sample) const;

  // C of all pairs of scores: sums over the positions of these samples that are in the scope.
  Interactions interactions(Scope scope, std::span<const int64_t> samples, Threads threads) const;
  Interactions interactions(Scope scope, Threads threads) const;  // of all samples
  // The same in every scope that has positions.
  std::vector<MetricInteractions> interactions(Threads threads) const;

 private:
  friend void write_sketches(const Run& run, const Sketches& sketches, const std::string& folder);
  friend std::optional<Sketches> read_sketches(const Run& run, const std::string& folder);
  size_t place(size_t score) const;
  std::string digest() const;

  Which which_;
  int64_t width_;
  std::vector<int64_t> first_;  // position of every sample, and of the end
  std::vector<uint8_t> answers_;
  std::vector<size_t> scores_;
  std::vector<float> values_;
  std::vector<std::array<double, 2>> errors_;
};

// The run as it would be of these samples alone, by the metric of the sketches. Left out (without a total)
// are other metrics, scores and groups without a sketch, and those that have no error in these samples: no
// row of theirs reaches the ops. Baselines stay as they are.
Run on_samples(Run run, const Sketches& sketches, std::span<const int64_t> samples);

// Replaces the file in the folder, atomically.
void write_sketches(const Run& run, const Sketches& sketches, const std::string& folder);
// None where the folder has no such file. Error where it is damaged, or of another run.
std::optional<Sketches> read_sketches(const Run& run, const std::string& folder);

}  // namespace qsweep::scores
