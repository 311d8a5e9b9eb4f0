// Declared ranges, and names that are near.
#include "tensor/fields.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tensor/device.h"
#include "tensor/nearest_name.h"
#include "tests/support/check_error.h"

namespace tessera {

namespace {

struct Part {
  std::vector<double> betas = {0.9, 0.99};
  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(betas, "decays", at_least(0).below(1));
  }
};
struct Whole {
  int channels = 8;
  bool on = true;
  std::string name = "x";
  std::vector<std::string> names = {"a"};
  double weight = 1;
  Part part = {};
  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(channels, "how many", at_least(4).multiple_of(4));
    TESSERA_FIELD(on, "a switch");
    TESSERA_FIELD(name, "a text");
    TESSERA_FIELD(names, "texts");
    TESSERA_FIELD(weight, "any");
    TESSERA_FIELD(part, "a section");
  }
};

}  // namespace

TEST_CASE("fields: an interval holds its bounds or not as it says, and no number that is not finite") {
  CHECK(at_least(1).contains(1));
  CHECK(!at_least(1).contains(0.999));
  CHECK(!above(0).contains(0));
  CHECK(between(0, 1).contains(1));
  CHECK(!at_least(0).below(1).contains(1));
  CHECK(!at_least(4).multiple_of(4).contains(6));
  for (const Interval& interval : {Interval{}, at_least(0), above(0)}) {
    CHECK(interval.contains(1e300));
    CHECK(!interval.contains(std::nan("")));
    CHECK(!interval.contains(std::numeric_limits<double>::infinity()));
  }
  CHECK(Interval{}.str() == "");
  CHECK(at_least(1).str() == "at least 1");
  CHECK(at_least(0).below(1).str() == "at least 0 and below 1");
  CHECK(above(0).at_most(10).str() == "above 0 and at most 10");
  CHECK(between(0, 0.5).str() == "from 0 to 0.5");
  CHECK(at_least(4).multiple_of(4).str() == "at least 4, a multiple of 4");
}

TEST_CASE("fields: a struct that a program filled is checked by what its fields declare") {
  check_fields("whole", Whole{});
  CHECK_ERROR(check_fields("whole", Whole{.channels = 6}),
              "whole: channels must be at least 4, a multiple of 4, got 6");
  CHECK_ERROR(check_fields("whole", Whole{.weight = std::nan("")}), "whole: weight must be finite, got nan");
  CHECK_ERROR(check_fields("whole", Whole{.part = {{0.5, 1}}}),
              "whole: part.betas must be at least 0 and below 1, got 1");
}

TEST_CASE("nearest name: one edit is an insertion, a deletion, a replacement or an exchange of neighbours") {
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("lr", "lr") == 0);
  CHECK(edit_distance("trian", "train") == 1);
  CHECK(edit_distance("ca", "abc") == 3);  // no substring is edited twice
  CHECK(nearest_name("cdua", {"cpu", "cuda"}) == "cuda");
  CHECK(nearest_name("x", {}) == "");
}

TEST_CASE("device: an unknown name names the nearest kind") {
  CHECK_ERROR(Device::parse("cdua"), "device cdua: unknown; did you mean cuda? Present here: cpu");
  CHECK_ERROR(Device::parse("cppu"), "did you mean cpu?");
}

}  // namespace tessera
