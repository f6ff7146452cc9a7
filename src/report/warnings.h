// What a reader must know before the numbers.
#pragma once

#include <string>
#include <vector>

#include "scores/run.h"

namespace qsweep::report {

inline constexpr char kNoAnswers[] =
    "The data has no answer token, as dialogues without a message of the assistant: every sum over answer "
    "positions is zero.";

// Below this Spearman correlation between halves of the data an order of ops is not a ranking.
inline constexpr double kReliableRanking = 0.8;

// One sentence or two each, the most important first; empty where nothing is wrong.
std::vector<std::string> warnings(const scores::Run& run);

}  // namespace qsweep::report
