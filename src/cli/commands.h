// The subcommands. Each registers its flags and what it runs; errors leave as exceptions.
#pragma once

#include <CLI/CLI.hpp>

namespace qsweep::cli {

void add_inspect(CLI::App& app);
void add_score(CLI::App& app);
void add_eval(CLI::App& app);
void add_report(CLI::App& app);
void add_compare(CLI::App& app);
void add_transfer(CLI::App& app);
void add_export(CLI::App& app);
void add_import(CLI::App& app);
void add_recipe(CLI::App& app);

}  // namespace qsweep::cli
