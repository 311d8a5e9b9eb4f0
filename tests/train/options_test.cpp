#include "train/options.h"

#include <doctest/doctest.h>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

using namespace tessera;

namespace {

enum class Fruit { kApple, kPear };
auto names_of(Fruit) {
  return std::array{std::pair{"apple", Fruit::kApple}, std::pair{"pear", Fruit::kPear}};
}

struct Inner {
  double weight = 0.5;
  Fruit fruit = Fruit::kApple;
  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(weight, "kilograms", above(0).at_most(100));
    TESSERA_FIELD(fruit, "which");
  }
};

struct Outer {
  bool on = true;
  Inner basket;
  i64 steps = 10;
  u64 seed = 1;
  std::string path = "a \"b\"\\\n";
  std::vector<i64> milestones = {1, 2};
  std::array<double, 2> range = {0.1, 1e-5};
  std::vector<bool> flags = {true, false};
  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(on, "a switch");
    TESSERA_FIELD(basket, "what is carried");
    TESSERA_FIELD(steps, "how many", at_least(1));
    TESSERA_FIELD(seed, "of chance");
    TESSERA_FIELD(path, "where");
    TESSERA_FIELD(milestones, "when", at_least(0));
    TESSERA_FIELD(range, "from, to", at_least(0));
    TESSERA_FIELD(flags, "switches");
  }
};

Outer parsed(const std::string& text) {
  Outer outer;
  std::vector<Option> options = options_of(outer);
  apply_settings(parse_settings(text, "test.toml", "."), options);
  return outer;
}

Outer overridden(const std::string& text) {
  Outer outer;
  std::vector<Option> options = options_of(outer);
  apply_settings({parse_override(text)}, options);
  return outer;
}

}  // namespace

TEST_CASE("options: every kind of value is read") {
  const Outer outer = parsed(
      "on = false\nsteps = 20\nseed = 7\npath = 'x'\nmilestones = [3]\nrange = [1, 2.5]\nflags = []\n"
      "[basket]\nweight = 3\nfruit = \"pear\"\n");
  CHECK(!outer.on);
  CHECK(outer.steps == 20);
  CHECK(outer.seed == 7);
  CHECK(outer.path == "x");
  CHECK(outer.milestones == std::vector<i64>{3});
  CHECK(outer.range == std::array{1.0, 2.5});
  CHECK(outer.flags.empty());
  CHECK(outer.basket.weight == 3);
  CHECK(outer.basket.fruit == Fruit::kPear);
}

TEST_CASE("options: the written text reads back as the same values") {
  Outer outer;
  outer.range = {1.0 / 3, 1e300};
  outer.basket.fruit = Fruit::kPear;
  const std::string text = to_toml(options_of(outer));
  Outer again = parsed(text);
  CHECK(again.range == outer.range);
  CHECK(again.path == outer.path);
  CHECK(again.flags == outer.flags);
  CHECK(again.basket.fruit == Fruit::kPear);
  CHECK(to_toml(options_of(again)) == text);
}

TEST_CASE("options: an unknown name is an error with file, line and the nearest option") {
  CHECK_ERROR(parsed("on = true\nstep = 3\n"), "test.toml:2: unknown option step; did you mean steps?");
  CHECK_ERROR(parsed("[basket]\nweigth = 3\n"),
              "test.toml:2: unknown option basket.weigth; did you mean basket.weight?");
  CHECK_ERROR(parsed("[basket]\n\nsteps = 3\n"), "test.toml:3: unknown option basket.steps; did you mean steps?");
  CHECK_ERROR(parsed("[baskets]\n"), "unknown option baskets");
  CHECK_ERROR(overridden("basket.wait=3"), "--set: unknown option basket.wait; did you mean basket.weight?");
}

TEST_CASE("options: a value of the wrong type is an error with the expected one") {
  CHECK_ERROR(parsed("\nsteps = 1.5\n"), "test.toml:2: steps must be an integer, at least 1, got 1.5");
  CHECK_ERROR(parsed("steps = \"many\"\n"), "steps must be an integer, at least 1, got \"many\"");
  CHECK_ERROR(parsed("seed = -1\n"), "seed must be a non-negative integer, got -1");
  CHECK_ERROR(parsed("on = 1\n"), "on must be true or false, got 1");
  CHECK_ERROR(parsed("path = 1\n"), "path must be a string in quotes, got 1");
  CHECK_ERROR(parsed("range = [1]\n"), "range must be a list of 2 values, each a number, at least 0, got [1]");
  CHECK_ERROR(parsed("milestones = 5\n"), "milestones must be a list");
  CHECK_ERROR(parsed("milestones = [5, 1.5]\n"),
              "milestones must be a list, each value an integer, at least 0, got [5, 1.5]");
  CHECK_ERROR(parsed("[basket]\nfruit = \"plum\"\n"), "basket.fruit must be one of \"apple\", \"pear\", got \"plum\"");
  CHECK_ERROR(parsed("basket = 1\n"), "basket is a section, not an option");
  CHECK_ERROR(parsed("[steps]\nx = 1\n"), "unknown option steps.x");
  CHECK_ERROR(parsed("steps = 1979-05-27\n"), "test.toml:1: steps has a value that no option takes");
  CHECK_ERROR(parsed("steps = = 1\n"), "test.toml:1:");
  CHECK_ERROR(parsed("steps = 1\nsteps = 2\n"), "test.toml:2:");
}

TEST_CASE("options: an override is TOML, or plain text") {
  CHECK(overridden("basket.weight=2e-3").basket.weight == 2e-3);
  CHECK(overridden("milestones=[7, 8]").milestones == std::vector<i64>{7, 8});
  CHECK(overridden("path=runs/a").path == "runs/a");
  CHECK(overridden("path=\"runs/a\"").path == "runs/a");
  CHECK(overridden("path=").path == "");
  CHECK(overridden("basket.fruit=pear").basket.fruit == Fruit::kPear);
  CHECK_ERROR(overridden("steps=many"), "--set: steps must be an integer, at least 1, got \"many\"");
  CHECK_ERROR(overridden("steps"), "--set steps: write it as section.key=value");
}

TEST_CASE("options: a base comes first, and a circle of bases is an error") {
  const test::TemporaryFolder folder;
  write_file(folder / "base.toml", "steps = 5\n[basket]\nweight = 9\n");
  write_file(folder / "top.toml", "base = \"base.toml\"\nsteps = 6\n");
  Outer outer;
  std::vector<Option> options = options_of(outer);
  apply_settings(read_settings(folder / "top.toml"), options);
  CHECK(outer.steps == 6);
  CHECK(outer.basket.weight == 9);

  write_file(folder / "a.toml", "base = \"b.toml\"\n");
  write_file(folder / "b.toml", "base = \"a.toml\"\n");
  CHECK_ERROR(read_settings(folder / "a.toml"), "a.toml: is its own base");
  write_file(folder / "c.toml", "base = \"absent.toml\"\n");
  CHECK_ERROR(read_settings(folder / "c.toml"), "c.toml:1: base: absent.toml: no such file or configuration");
}

TEST_CASE(
    "options: a value outside of what is declared is an error with the option, the range, the value and the place") {
  CHECK_ERROR(parsed("\n\nsteps = 0\n"), "test.toml:3: steps must be an integer, at least 1, got 0");
  CHECK_ERROR(overridden("basket.weight=0"), "--set: basket.weight must be a number, above 0 and at most 100, got 0");
  CHECK(overridden("basket.weight=100").basket.weight == 100);
  CHECK_ERROR(overridden("basket.weight=100.5"), "got 100.5");
  for (const char* number : {"nan", "inf", "-inf"})
    CHECK_ERROR(overridden(fmt::format("range=[0, {}]", number)), "got [0, ");
  CHECK_ERROR(overridden("milestones=[3, -1]"),
              "milestones must be a list, each value an integer, at least 0, got [3, -1]");
}

TEST_CASE("options: what does not fit changes nothing") {
  Outer outer;
  std::vector<Option> options = options_of(outer);
  const std::string before = to_toml(options);
  for (const char* text :
       {"steps=0", "steps=1.5", "basket.weight=-1", "range=[5, -1]", "milestones=[4, -4]", "flags=[true, 1]"})
    CHECK_ERROR(apply_settings({parse_override(text)}, options), "must be");
  CHECK(to_toml(options) == before);
}

TEST_CASE("options: a base may be a configuration's name, and an absent one names the nearest") {
  const std::vector<Setting> by_name = parse_settings("base = \"r50_giam\"\n", "x.toml", "/");
  const std::vector<Setting> by_file = read_settings("sparseinst/r50_giam");
  REQUIRE(by_name.size() == by_file.size());
  for (size_t i = 0; i < by_name.size(); ++i) CHECK(by_name[i].name == by_file[i].name);
  CHECK_ERROR(parse_settings("\nbase = \"r50_gaim\"\n", "x.toml", "/"),
              "x.toml:2: base: r50_gaim: no such file or configuration; did you mean sparseinst/r50_giam?");
  CHECK_ERROR(parse_settings("base = \"" + std::string(5000, 'x') + "\"\n", "x.toml", "/"), "no such file");
  CHECK_ERROR(parse_settings("base = 1\n", "x.toml", "/"), "x.toml:1: base must be the name of a configuration");
}
