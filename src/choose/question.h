// The problem that a run's scores pose.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "choose/problem.h"
#include "scores/grouping.h"
#include "scores/interactions.h"
#include "scores/run.h"

namespace qsweep::choose {

using scores::Grouping;
using scores::parse_grouping;

int64_t weights_of(const scores::Run& run);  // of all ops
// Of an op's weight, scales included; float (null) has 16 per weight, and a cache no weight.
int64_t stored_bits(const scores::OpRecord& op, const quant::Format* format);

// Ops whose format is given, by a shell pattern over their names; those that are of the format's kind. Caches
// have one where it is given, else they stay float.
struct Fix {
  std::string pattern;
  const quant::Format* format = nullptr;  // null: float
  std::string flag;                       // that asks for it, for errors
};

// Why an op cannot have a format; none where it can.
using Refusal =
    std::function<std::optional<std::string>(const scores::OpRecord& op, const quant::Format* format)>;

struct Wishes {
  scores::Metric metric;
  std::vector<std::string> formats = {};  // beside float; empty: all that the run has scored
  Grouping grouping = Grouping::fused;
  std::vector<Fix> fixed = {};  // later ones override
  Refusal refusal = {};         // where it is there, float is refused nowhere
};

struct Question {
  Problem problem;
  std::vector<std::string> formats;    // that may be chosen beside float
  std::vector<std::string> estimated;  // of these, the ones whose scores are not exact, as "w8a8 (adjoint)"
  std::vector<std::string> unscored;   // names of ops that stay float because they have no score
  std::vector<std::string> with_unscored;  // ops that stay float because one that they are fused with does
  std::vector<std::string> followers;  // ops that no row of the data reached: they have the format of those
                                       // that they are fused with, and count with no error
  std::vector<std::string>
      refused;                 // ops that stay float because wishes refuse all that they have a score in
  size_t measured_groups = 0;  // groups in a format that stand for their ops in some choice
  std::string without_pairs;   // why the problem has no pairs; empty where it has
};

// Takes the isolated scores that stand for each format (scores::isolated_groups), and groups that were
// measured in place of scores of their ops (scores::take_groups). Fusion groups are never split, but by
// Grouping::op. Pairs are known where `interactions` has every score in question. Error where
// the run has no isolated scores of the metric at an output (leave-one-out scores and those of method `local`
// say nothing about sums), where a format was not scored, where a pattern matches nothing or takes a part of
// a fusion group, and where what is fixed has no score or is refused.
Question ask(const scores::Run& run, const Wishes& wishes,
             const std::optional<scores::Interactions>& interactions);

// Format by op name, of the ops that the selection quantizes.
std::map<std::string, std::string> formats_of(const scores::Run& run, const Problem& problem,
                                              const Selection& selection);

}  // namespace qsweep::choose
