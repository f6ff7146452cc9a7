// What a long run would take by other methods.
#pragma once

#include <span>

#include "cli/output.h"
#include "cli/session.h"

namespace qsweep::cli {

// Where exact isolated scores take long: what estimates would, with and without exact scores for the most
// sensitive ops. rates: those of the run's main products.
void say_alternatives(const Output& output, const Engine& engine, sweep::ScoreOptions options,
                      const sweep::Forecast& forecast, std::span<const sweep::MeasuredProduct> rates);

}  // namespace qsweep::cli
