// The manual page and the completions of shells, made from the flags themselves.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace qsweep::cli {

// roff for man(1), of the program and its subcommands.
std::string manual_page(const CLI::App& app, const std::string& version);
// A script for bash, zsh or fish.
std::string completion(const CLI::App& app, const std::string& shell);

// The hidden flag --generate, by which `make install` gets these: man, bash, zsh or fish.
void add_generate_flag(CLI::App& app, const std::string& version);

}  // namespace qsweep::cli
