#include "cli/options_list.h"

#include "cli/text.h"
#include "train/config.h"

namespace tessera {

namespace {

// Calls `begin` at the first option of every section and `each` for every option: those of each family's networks, then
// those of all. title: "[model.decoder] of fqdet".
template <class Begin, class Each>
void for_each_option(Begin&& begin, Each&& each) {
  const auto list = [&](const std::string& family) {
    Config config;
    config.model.choose(family);
    std::string section;
    for (const Option& option : options_of(config, true)) {
      if (option.name.starts_with("model.") == family.empty()) continue;
      if (option.section() != section)
        begin(option, fmt::format("[{}]{}{}", option.section(), family.empty() ? "" : " of ", family));
      section = option.section();
      each(option);
    }
  };
  for (const std::string& family : family_names()) list(family);
  list("");
}

std::string default_of(const Option& option) {
  const std::string value = option.get().toml();
  return value.empty() ? "absent" : value;
}

// A bar would end the cell.
std::string cell(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

}  // namespace

std::string options_text(size_t width) {
  std::string text;
  for_each_option(
      [&](const Option& option, const std::string& title) {
        const std::string heading = fmt::format("{}  {}", title, option.section_meaning);
        text += (text.empty() ? "" : "\n") + wrapped(heading, width, 4) + "\n";
      },
      [&](const Option& option) {
        text += wrapped(fmt::format("  {} = {}  ({})", option.key(), default_of(option), option.expected), width, 6);
        text += "\n" + wrapped("      " + option.meaning, width, 6) + "\n";
      });
  return text;
}

std::string options_markdown() {
  std::string text =
      "# Options of a configuration\n\n"
      "What a TOML file, or `--set section.key=value`, can say. This page is what `tessera train "
      "--help-options=markdown` "
      "prints;\na test compares them. A file may begin with `base = \"NAME\"`: it starts from that configuration, a "
      "file "
      "beside it or a name under\n`configs/`, and changes what it says itself.\n";
  for_each_option(
      [&](const Option& option, const std::string& title) {
        text += fmt::format("\n## {}\n\n{}\n\n| option | default | what it may be | meaning |\n|---|---|---|---|\n",
                            title, option.section_meaning);
      },
      [&](const Option& option) {
        text += fmt::format("| `{}` | `{}` | {} | {} |\n", option.key(), cell(default_of(option)),
                            cell(option.expected), cell(option.meaning));
      });
  return text;
}

}  // namespace tessera
