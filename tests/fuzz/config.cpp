// TOML configurations, and one line of --set.
#include "tests/fuzz/fuzz.h"
#include "train/options.h"

namespace {

enum class Kind { kFirst, kSecond };
auto names_of(Kind) {
  return std::array{std::pair{"first", Kind::kFirst}, std::pair{"second", Kind::kSecond}};
}

// An option of each type.
struct Part {
  Kind kind = Kind::kFirst;
  bool flag = false;
  tessera::i64 steps = 1;
  double rate = 0.1;
  std::string name;
  std::vector<double> list;
  std::array<tessera::i64, 2> pair{};

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(kind, "a choice");
    TESSERA_FIELD(flag, "a switch");
    TESSERA_FIELD(steps, "a bounded integer", tessera::at_least(1));
    TESSERA_FIELD(rate, "a bounded number", tessera::at_least(0).below(1));
    TESSERA_FIELD(name, "a text");
    TESSERA_FIELD(list, "numbers");
    TESSERA_FIELD(pair, "two integers", tessera::between(0, 100).multiple_of(2));
  }
};
struct Whole {
  Part part;
  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(part, "a section");
  }
};

}  // namespace

void tessera::fuzz::read(std::string_view bytes) {
  const std::string text(bytes);
  Whole whole;
  std::vector<Option> options = options_of(whole);
  try {
    apply_settings({parse_override(text)}, options);
  } catch (const Error&) {
  }
  apply_settings(parse_settings(text, "x.toml", {}), options);
  Whole again;  // what is written reads back as the same
  std::vector<Option> copies = options_of(again);
  apply_settings(parse_settings(to_toml(options), "y.toml", {}), copies);
  if (to_toml(options) != to_toml(copies)) std::abort();
}
