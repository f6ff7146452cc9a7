// What a run's results depend on, down to the last bit: a run that is taken up again must be the same one.
#pragma once

#include <optional>

#include "cli/session.h"
#include "io/journal.h"

namespace qsweep::cli {

// settings: all flags as resolved.
io::Json identity(const Engine& engine, const EngineFlags& flags, io::Json settings);

// Opens the journal of a run that --resume goes on with. The memory that it was begun with is taken where the
// flags leave it open: it decides the plan, and what is free now may be less or more.
io::Journal reopen_journal(const std::string& path, EngineFlags& flags);

// Whether the journal's run is through and its results are there; says so. Error where it is another run's.
bool is_finished(const io::Journal& journal, const io::Json& identity, const std::string& results);

inline constexpr const char* kResumeHelp =
    "Go on with the run in the folder --out, which was ended before it was through; all other flags as they "
    "were then";

}  // namespace qsweep::cli
