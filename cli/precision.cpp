#include "cli/precision.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

void add_precision(CLI::App& command) {
  const auto scope = std::make_shared<std::optional<ArithmeticScope>>();
  const auto use = [scope](const std::string& chosen) {
    for (const auto& [name, level] : names_of(Precision()))
      if (chosen == name) scope->emplace(Arithmetic{.precision = level});
  };
  std::vector<std::string> names;
  for (const auto& [name, level] : names_of(Precision())) names.push_back(name);
  command
      .add_option_function<std::string>("--precision", use,
                                        "of matrix products and convolutions: highest is that of f32, high and medium "
                                        "are faster on machines with bfloat16 tiles and on GPUs")
      ->check(CLI::IsMember(names))
      ->type_name("LEVEL")
      ->default_str("highest");
}

}  // namespace tessera
