// Help and the complaints about a command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace tessera {

// CLI11's help, wrapped at the terminal's width.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
};

// The help of the program, or of the command below it that `path` names ({"data", "shapes"}). An unknown one is an
// error that names the nearest.
std::string help_of(const CLI::App& program, const std::vector<std::string>& path = {});

// What was wrong with a command line: for an unknown command or option the nearest one is named.
std::string usage_error(const CLI::App& program, const CLI::ParseError& error);

}  // namespace tessera
