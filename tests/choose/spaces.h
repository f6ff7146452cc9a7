// Decision spaces of the tiny model in which every recipe was measured (testdata/recipes/README.md).
#pragma once

#include <cmath>
#include <cstring>
#include <string>

#include "choose/problem.h"
#include "choose/refit.h"
#include "io/safetensors.h"
#include "support/testdata.h"

namespace qsweep::choose {

// Which samples are known to the choice: every second one, from this one on.
enum class Half { even, odd };
inline Half other(Half half) { return half == Half::even ? Half::odd : Half::even; }
// Where the errors of single choices come from: groups quantized alone, or scores of single ops added up.
enum class Errors { of_groups, of_ops };

class Space {
 public:
  explicit Space(const std::string& name)
      : file_(io::SafetensorsFile::open(testing::testdata_folder() + "/recipes/" + name + ".safetensors")) {
    bits_ = values<int64_t>("bits");
    positions_ = values<int64_t>("positions");
    isolated_ = values<double>("isolated");
    op_scores_ = values<double>("op_scores");
    variants_ = values<int64_t>("variants");
    gram_ = values<float>("gram");
    const std::vector<double> scale = values<double>("kl_scale");
    for (const uint16_t v : values<uint16_t>("kl"))
      kl_.push_back(v == 0 ? 0 : std::exp2(scale[0] + (v - 1.0) * scale[1]));
    for (const int64_t w : values<int64_t>("weights")) weights_ += w;
    decisions_ = static_cast<size_t>(shape("bits")[0]);
    formats_ = static_cast<size_t>(shape("bits")[1]);
  }

  size_t recipes() const { return kl_.size() / positions_.size(); }

  // With interactions or without, as known from half of the samples.
  Problem problem(Half half, Errors errors, bool pairs) const {
    std::vector<Decision> decisions(decisions_);
    for (size_t d = 0; d < decisions_; ++d) {
      decisions[d].name = std::to_string(d);
      for (size_t f = 0; f < formats_; ++f)
        decisions[d].choices.push_back(
            {.format = nullptr,
             .bits = bits_[d * formats_ + f],
             .error = errors == Errors::of_ops ? op_scores_[(first(half) * decisions_ + d) * formats_ + f]
                                               : isolated(d, f, half),
             .scores = {}});
    }
    int64_t positions = 0;
    for (size_t s = first(half); s < positions_.size(); s += 2) positions += positions_[s];
    return {std::move(decisions), weights_, positions, pairs ? products(half) : std::vector<double>()};
  }

  // What was measured of a recipe on half of the samples.
  std::vector<double> measured(const Selection& selection, Half half) const {
    size_t code = 0;
    for (const int choice : selection) code = code * formats_ + static_cast<size_t>(choice);
    std::vector<double> errors;
    for (size_t s = first(half); s < positions_.size(); s += 2) errors.push_back(kl_[s * recipes() + code]);
    return errors;
  }
  std::vector<double> positions(Half half) const {
    std::vector<double> some;
    for (size_t s = first(half); s < positions_.size(); s += 2)
      some.push_back(static_cast<double>(positions_[s]));
    return some;
  }
  // The sum of its errors, of all samples of the half.
  double error(const Selection& selection, Half half) const {
    double sum = 0;
    for (const double e : measured(selection, half)) sum += e;
    return sum;
  }

  Selection selection(size_t code) const {
    Selection selection(decisions_);
    for (size_t d = decisions_; d-- > 0; code /= formats_) selection[d] = static_cast<int>(code % formats_);
    return selection;
  }

 private:
  static size_t first(Half half) { return half == Half::even ? 0 : 1; }
  Shape shape(const std::string& name) const { return file_.view(*file_.find(name)).shape; }

  template <class T>
  std::vector<T> values(const std::string& name) const {
    const TensorView view = file_.view(*file_.find(name));
    std::vector<T> values(static_cast<size_t>(view.elements()));
    std::memcpy(values.data(), view.data, values.size() * sizeof(T));
    return values;
  }

  size_t variants() const { return variants_.size() / 2; }
  size_t number(size_t variant) const {
    return static_cast<size_t>(variants_[2 * variant]) * formats_ +
           static_cast<size_t>(variants_[2 * variant + 1]);
  }

  double isolated(size_t decision, size_t format, Half half) const {
    double sum = 0;
    for (size_t v = 0; v < variants(); ++v)
      if (number(v) == decision * formats_ + format)
        for (size_t s = first(half); s < positions_.size(); s += 2) sum += isolated_[s * variants() + v];
    return sum;
  }

  std::vector<double> products(Half half) const {
    const size_t n = variants(), all = decisions_ * formats_;
    std::vector<double> products(all * all, 0);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) {
        if (variants_[2 * i] == variants_[2 * j]) continue;
        double& sum = products[number(i) * all + number(j)];
        for (size_t s = first(half); s < positions_.size(); s += 2)
          sum += 0.5 * (gram_[(s * n + i) * n + j] + gram_[(s * n + j) * n + i]);
      }
    return products;
  }

  io::SafetensorsFile file_;
  std::vector<int64_t> bits_, positions_, variants_;
  std::vector<double> isolated_, op_scores_, kl_;
  std::vector<float> gram_;
  size_t decisions_ = 0, formats_ = 0;
  int64_t weights_ = 0;
};

}  // namespace qsweep::choose
