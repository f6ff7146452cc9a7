#include "report/meaning.h"

#include <array>

namespace qsweep::report {
namespace {

constexpr std::array<std::string_view, 4> kModes{
    "One op is quantized, everything else is float: the largest error marks the most sensitive op.",
    "Everything is quantized and one op at a time returns to float: the smallest remaining error marks the "
    "most sensitive op.",
    "Everything is quantized but the ops kept float, of which one at a time is quantized again: the largest "
    "error marks the most sensitive op.",
    "Everything is quantized but the ops kept float, which are quantized again one after the other in model "
    "order. An op's error is that of all up to it, so a rank says how large the error is by then; the step "
    "from the op before is the op's own part.",
};

constexpr std::array<std::string_view, 7> kMethods{
    "The errors are measured at the output.",
    "The errors are estimated, so approximate: random probes of the output, propagated backwards, say how "
    "much each op's own error weighs there. Coherence tells how the errors of an op's tokens meet at the "
    "output: above 1 they add up, below 1 they cancel.",
    "The errors are estimated, so approximate: the gradients of the data's own next tokens say how much each "
    "op's own error weighs at the output.",
    "The errors are estimated, so approximate: the curvature of the output at the op times the squared error "
    "of its weights.",
    "The errors are those at the ops themselves; nothing was propagated to the output.",
    "The errors are those of another model, carried over by tower, role and depth: a forecast, which nothing "
    "was computed for here.",
    "The errors are estimated by probes for every op, then measured for the most sensitive and the doubtful "
    "ones as far as time allowed; the column Method says which.",
};

}  // namespace

std::string_view mode_text(scores::Mode mode) { return kModes[static_cast<size_t>(mode)]; }
std::string_view method_text(scores::Method method) { return kMethods[static_cast<size_t>(method)]; }

}  // namespace qsweep::report
