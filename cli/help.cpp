// tessera help, and what is said about a wrong command line.
#include "cli/help.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <sstream>

#include "cli/commands.h"
#include "cli/text.h"
#include "tensor/nearest_name.h"

namespace tessera {

namespace {

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> long_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::string unknown(const char* kind, const std::string& name, const std::vector<std::string>& known) {
  return fmt::format("unknown {} {}; did you mean {}?", kind, name, nearest_name(name, known));
}

// The command whose arguments hold one that nobody took, the outermost first; null where there is none.
const CLI::App* with_leftover(const CLI::App& app) {
  if (!app.remaining().empty()) return &app;
  for (const CLI::App* command : app.get_subcommands())
    if (const CLI::App* found = with_leftover(*command)) return found;
  return nullptr;
}

}  // namespace

HelpFormatter::HelpFormatter() {
  column_width(std::min<size_t>(30, terminal_width() / 3));
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const {
  std::istringstream lines(CLI::Formatter::make_help(app, std::move(name), mode));
  std::string text;
  for (std::string line; std::getline(lines, line);)
    text += wrapped(line, terminal_width(), line.starts_with(' ') ? get_column_width() : 0) + "\n";
  return text;
}

std::string help_of(const CLI::App& program, const std::vector<std::string>& path) {
  const CLI::App* app = &program;
  std::string name = program.get_name();
  for (const std::string& part : path) {
    const std::vector<std::string> known = commands_of(*app);
    if (std::find(known.begin(), known.end(), part) == known.end())
      throw CLI::ParseError(known.empty() ? name + " has no commands of its own" : unknown("command", part, known),
                            CLI::ExitCodes::ExtrasError);
    app = app->get_subcommand(part);
    name += " " + part;
  }
  return app->get_formatter()->make_help(app, name, CLI::AppFormatMode::Normal);
}

std::string usage_error(const CLI::App& program, const CLI::ParseError& error) {
  const int code = error.get_exit_code();
  const bool may_be_typo =
      code == static_cast<int>(CLI::ExitCodes::ExtrasError) || code == static_cast<int>(CLI::ExitCodes::RequiredError);
  const CLI::App* app = may_be_typo ? with_leftover(program) : nullptr;
  if (!app) return error.what();
  const std::string first = app->remaining().front();
  if (first.starts_with('-')) return unknown("option", first.substr(0, first.find('=')), long_options(*app));
  const std::vector<std::string> commands = commands_of(*app);
  return commands.empty() ? "unexpected argument " + first : unknown("command", first, commands);
}

void add_help(CLI::App& program) {
  CLI::App* help = program.add_subcommand("help", "Prints this help, or that of a command");
  const auto path = std::make_shared<std::vector<std::string>>();
  help->add_option("COMMAND", *path, "command, and the one below it");
  help->callback([&program, path] { fmt::print("{}", help_of(program, *path)); });
}

}  // namespace tessera
