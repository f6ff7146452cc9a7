// What a run's results depend on, down to the last bit: a run that is taken up again must be the same one.
#pragma once

#include <optional>

#include "cli/session.h"
#include "io/journal.h"

namespace qsweep::cli {

// Nested by what a file or value belongs to, so that two of one name are two. settings: all flags as
// resolved; recipes: their files.
io::Json identity(const Engine& engine, const EngineFlags& flags, io::Json settings,
                  const std::vector<std::string>& recipes = {});

// Opens the journal of a run that --resume goes on with. The memory that it was begun with is taken where the
// flags leave it open: it decides the plan, and what is free now may be less or more.
io::Journal reopen_journal(const std::string& path, EngineFlags& flags);

// Whether the journal's run is through and its results are there. Error where it is another run's.
bool is_finished(const io::Journal& journal, const io::Json& identity, const std::string& results);

}  // namespace qsweep::cli
