// The porting guide's device, built from the guide.
#include <doctest/doctest.h>

#include "tests/cli/program.h"

TEST_CASE("porting: the device of the guide computes its first layer, and its gaps are errors that say so") {
  const tessera::test::Outcome outcome = tessera::test::run({}, "tessera_abacus");
  INFO(outcome.out, outcome.err);
  CHECK(outcome.code == 0);
  CHECK(outcome.out.find("first layer on other: largest difference ") != std::string::npos);
  CHECK(outcome.out.find("sum: no kernel for device other; it exists for cpu") != std::string::npos);
  CHECK(outcome.out.find("out of memory on other: 1073741824 bytes asked for; ") != std::string::npos);
}
