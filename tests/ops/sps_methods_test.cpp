#include "bench/sps_methods.h"

#include <doctest/doctest.h>

namespace tessera::test {

TEST_CASE("bench: sps-methods compares five methods that agree at the active cells") {
  const nlohmann::ordered_json stages = bench::compare_sps_methods({.rois = 2, .refined = 100, .seconds = 0})["stages"];
  REQUIRE(stages.size() == 3);
  for (const nlohmann::ordered_json& stage : stages) {
    CHECK(stage["active"] == 400);
    const nlohmann::ordered_json& methods = stage["methods"];
    CHECK(methods.size() == 5);
    for (const nlohmann::ordered_json& method : methods) {
      CHECK(method["forward_ms"] > 0);
      CHECK(method["backward_ms"] > 0);
      CHECK(method["difference"] < 1e-5);
    }
  }
  // What the paper claims of memory, where the grids are fine.
  const nlohmann::ordered_json& last = stages[2]["methods"];
  for (const char* dense : {"Dense", "SparseOnDense"}) {
    CHECK(last["SPS"]["keeps_bytes"] < last[dense]["keeps_bytes"]);
    CHECK(last["SPS"]["forward_extra_bytes"] < last[dense]["forward_extra_bytes"]);
    CHECK(last["SPS"]["training_extra_bytes"] < last[dense]["training_extra_bytes"]);
  }
}

}  // namespace tessera::test
