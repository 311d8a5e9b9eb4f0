// The porting guide's device, built from the guide.
#include <doctest/doctest.h>

#include "tests/cli/program.h"

TEST_CASE("porting: the device of the guide computes its first layer, and its gaps are errors that say so") {
  const tessera::test::Outcome outcome = tessera::test::run({}, "tessera_abacus");
  INFO(outcome.out, outcome.err);
  CHECK(outcome.code == 0);
  CHECK(outcome.out.find("first layer on abacus: largest difference ") != std::string::npos);
  CHECK(outcome.out.find("sum: no kernel for device abacus; it exists for cpu") != std::string::npos);
  CHECK(outcome.out.find("out of memory on abacus: 1073741824 bytes asked for; ") != std::string::npos);
}

TEST_CASE("porting: what a device lacks is counted apart from what it does wrong, and its benchmarks pass over it") {
  using tessera::test::Outcome, tessera::test::run;
  const Outcome relu = run({"test", "-d", "abacus", "-o", "relu"}, "tessera_abacus_ops");
  INFO(relu.out, relu.err);
  CHECK(relu.code == 0);
  const Outcome sums = run({"test", "-d", "abacus", "-o", "sum"}, "tessera_abacus_ops");
  INFO(sums.out, sums.err);
  CHECK(sums.code == 2);
  CHECK(sums.out.find("not run, for want of 2 kernels: mul_scalar on abacus, sum on abacus") != std::string::npos);
  CHECK(sums.out.find(" 0 failed") != std::string::npos);
  const Outcome bench = run({"bench", "-d", "abacus", "-o", "sum"}, "tessera_abacus_ops");
  INFO(bench.out, bench.err);
  CHECK(bench.code == 0);
  CHECK(bench.out.find("no kernel sum") != std::string::npos);
}
