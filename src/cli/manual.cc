#include "cli/manual.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/ranges.h>

#include "cli/output.h"
#include "cli/program.h"

namespace qsweep::cli {
namespace {

// One flag or argument of a command.
struct Entry {
  std::string name;                  // "--data", or "MODEL"
  std::string value;                 // what it takes, such as TEXT; empty for a switch
  std::vector<std::string> choices;  // where these are all that it takes
  std::string description;
  bool positional = false;
};

struct Command {
  std::string name, description;
  std::vector<Entry> entries;
};

// "TEXT:{a,b}" has the choices a and b.
std::vector<std::string> choices_in(const std::string& type) {
  const size_t begin = type.find(":{"), end = type.find('}', begin);
  if (begin == std::string::npos || end == std::string::npos) return {};
  std::vector<std::string> choices;
  for (size_t at = begin + 2; at < end;) {
    const size_t comma = std::min(type.find(',', at), end);
    choices.push_back(type.substr(at, comma - at));
    at = comma + 1;
  }
  return choices;
}

Entry entry_of(const CLI::Option& option) {
  const std::string type =
      option.get_type_size_max() == 0 || option.get_expected_max() == 0 ? "" : option.get_type_name();
  Entry entry{.name = option.get_name(),
              .value = type.substr(0, type.find(':')),
              .choices = choices_in(type),
              .description = option.get_description(),
              .positional = option.get_positional()};
  if (!entry.positional) entry.name = "--" + option.get_lnames().front();
  return entry;
}

Command command_of(const CLI::App& app) {
  Command command{.name = app.get_name(), .description = app.get_description(), .entries = {}};
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty()) command.entries.push_back(entry_of(*option));
  return command;
}

std::vector<Command> subcommands_of(const CLI::App& app) {
  std::vector<Command> commands;
  for (const CLI::App* command : app.get_subcommands(nullptr)) commands.push_back(command_of(*command));
  return commands;
}

// Text that roff takes for nothing else.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '-') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

std::string manual_entries(const Command& command) {
  std::string out;
  for (const Entry& entry : command.entries) {
    const std::string value =
        entry.choices.empty() ? entry.value : fmt::format("{}", fmt::join(entry.choices, "|"));
    out += fmt::format(".TP\n.B {}{}\n{}.\n", roff(entry.name),
                       value.empty() || entry.positional ? "" : " " + roff(value), roff(entry.description));
  }
  return out;
}

constexpr const char* kExitStatus =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nThe work is done.\n"
    ".TP\n.B 2\nBad input, or a system that refuses: one line on standard error says what, and where.\n"
    ".TP\n.B 3\nA recipe is above a limit of \\-\\-fail\\-above.\n"
    ".TP\n.B 70\nA defect of the program: please report it.\n"
    ".TP\n.B 128 + N\nEnded by signal N. A run goes on with \\-\\-resume.\n";

std::string quoted(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// Within single quotes of a shell.
std::string in_quotes(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out;
}

std::string flag_names(const Command& command) {
  std::vector<std::string> names;
  for (const Entry& entry : command.entries)
    if (!entry.positional) names.push_back(entry.name);
  return fmt::format("{}", fmt::join(names, " "));
}

std::string bash(const Command& program, const std::vector<Command>& commands) {
  std::string names, flags, values;
  for (const Command& command : commands) {
    names += (names.empty() ? "" : " ") + command.name;
    flags += fmt::format("    {}) flags='{}' ;;\n", command.name, flag_names(command));
    for (const Entry& entry : command.entries)
      if (!entry.choices.empty())
        values += fmt::format("    '{} {}') COMPREPLY=($(compgen -W '{}' -- \"$word\")); return ;;\n",
                              command.name, entry.name, fmt::join(entry.choices, " "));
  }
  const std::string function = "_" + program.name + "_complete";
  return fmt::format(
      "{0}() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} flags='{1}'\n"
      "  case ${{COMP_WORDS[1]}} in\n{2}  esac\n"
      "  case \"${{COMP_WORDS[1]}} $before\" in\n{3}  esac\n"
      "  if [[ $COMP_CWORD -eq 1 && -n '{4}' ]]; then\n"
      "    COMPREPLY=($(compgen -W \"{4} $flags\" -- \"$word\"))\n"
      "  elif [[ $word == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
      "  fi\n"
      "}}\n"
      "complete -o default -F {0} {5}\n",
      function, flag_names(program), flags, values, names, program.name);
}

std::string zsh_arguments(const Command& command, const char* indent) {
  std::string out;
  for (const Entry& entry : command.entries) {
    if (entry.positional) continue;
    const std::string takes =
        entry.choices.empty() ? ":value:_files" : fmt::format(":value:({})", fmt::join(entry.choices, " "));
    out += fmt::format(" \\\n{}'{}[{}]{}'", indent, entry.name, in_quotes(quoted(entry.description, "[]:\\")),
                       entry.value.empty() ? "" : takes);
  }
  return out + fmt::format(" \\\n{}'*:file:_files'\n", indent);
}

std::string zsh(const Command& program, const std::vector<Command>& commands) {
  std::string out = fmt::format("#compdef {}\n", program.name);
  if (commands.empty()) return out + "_arguments" + zsh_arguments(program, "  ");
  out += "if (( CURRENT == 2 )); then\n  local -a commands=(\n";
  for (const Command& command : commands)
    out += fmt::format("    '{}:{}'\n", command.name, in_quotes(quoted(command.description, ":\\")));
  out += "  )\n  _describe command commands\n  return\nfi\ncase $words[2] in\n";
  for (const Command& command : commands)
    out += fmt::format("  {}) _arguments{} ;;\n", command.name, zsh_arguments(command, "    "));
  return out + "esac\n";
}

std::string fish_flags(const std::string& program, const Command& command, const std::string& condition) {
  std::string out;
  for (const Entry& entry : command.entries) {
    if (entry.positional) continue;
    const std::string takes = entry.value.empty() ? ""
                              : entry.choices.empty()
                                  ? " -r"
                                  : fmt::format(" -x -a '{}'", fmt::join(entry.choices, " "));
    out += fmt::format("complete -c {} -n '{}' -l {}{} -d '{}'\n", program, condition, entry.name.substr(2),
                       takes, in_quotes(quoted(entry.description, "\\")));
  }
  return out;
}

std::string fish(const Command& program, const std::vector<Command>& commands) {
  const std::string none_yet = commands.empty() ? "true" : "__fish_use_subcommand";
  std::string out = fish_flags(program.name, program, none_yet);
  for (const Command& command : commands) {
    out += fmt::format("complete -c {} -f -n '{}' -a {} -d '{}'\n", program.name, none_yet, command.name,
                       in_quotes(quoted(command.description, "\\")));
    out += fish_flags(program.name, command, "__fish_seen_subcommand_from " + command.name);
  }
  return out;
}

}  // namespace

std::string manual_page(const CLI::App& app, const std::string& version) {
  const Command program = command_of(app);
  std::string name = program.description;
  if (const size_t colon = name.find(": "); colon != std::string::npos) name.erase(0, colon + 2);
  std::string out = fmt::format(".TH {0} 1 \"\" \"qsweep {1}\"\n.SH NAME\n{0} \\- {2}\n", roff(program.name),
                                version, roff(name));
  out += fmt::format(".SH SYNOPSIS\n.B {}\n{}[FLAGS]\n", roff(program.name),
                     subcommands_of(app).empty() ? "" : "COMMAND ");
  out += ".SH FLAGS\n" + manual_entries(program);
  for (const Command& command : subcommands_of(app))
    out += fmt::format(".SH {} {}\n{}.\n{}", roff(program.name), roff(command.name),
                       roff(command.description), manual_entries(command));
  return out + kExitStatus;
}

std::string completion(const CLI::App& app, const std::string& shell) {
  const Command program = command_of(app);
  const std::vector<Command> commands = subcommands_of(app);
  if (shell == "bash") return bash(program, commands);
  return shell == "zsh" ? zsh(program, commands) : fish(program, commands);
}

void add_generate_flag(CLI::App& app, const std::string& version) {
  app.add_option_function<std::string>(
         "--generate",
         [&app, version](const std::string& what) {
           write_out(what == "man" ? manual_page(app, version) : completion(app, what));
           throw Ending(0, "");
         })
      ->check(CLI::IsMember({"man", "bash", "zsh", "fish"}))
      ->trigger_on_parse()
      ->group("");
}

}  // namespace qsweep::cli
