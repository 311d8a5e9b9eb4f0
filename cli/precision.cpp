#include "cli/precision.h"

#include <fmt/core.h>

#include <string>
#include <vector>

#include "ops/cpu/simd/simd_table.h"

namespace tessera {

void add_precision(CLI::App& command) {
  const auto use = [](const std::string& chosen) {
    for (const auto& [name, level] : names_of(Precision()))
      if (chosen == name) {
        set_precision(level);
        note_precision(level);
      }
  };
  std::vector<std::string> names;
  for (const auto& [name, level] : names_of(Precision())) names.push_back(name);
  command
      .add_option_function<std::string>("--precision", use,
                                        "of matrix products and convolutions: highest is that of f32, high and medium "
                                        "are faster on machines with bfloat16 tiles")
      ->check(CLI::IsMember(names))
      ->type_name("LEVEL")
      ->default_str("highest");
}

void note_precision(Precision precision) {
  if (precision != Precision::kHighest && !has_tiles())
    fmt::print(stderr, "tessera: no bfloat16 tiles (AMX) on this machine: precision is highest\n");
}

}  // namespace tessera
