#include "tests/cli/program.h"

namespace tessera::test {

TEST_CASE("program: bench sps-methods compares five methods that agree at the active cells") {
  const TemporaryFolder folder;
  const fs::path json = folder / "methods.json";
  const Outcome outcome = run({"bench", "sps-methods", "--rois", "2", "--refined", "100", "--seconds", "0", "--threads",
                               "1", "--json", json.string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.out.find("stage 3: 2 grids of 112 x 112 cells, 400 active, 892 passive features") != std::string::npos);
  const nlohmann::json stages = nlohmann::json::parse(read_file(json))["stages"];
  REQUIRE(stages.size() == 3);
  for (const nlohmann::json& stage : stages) {
    const nlohmann::json& methods = stage["methods"];
    CHECK(methods.size() == 5);
    for (const nlohmann::json& method : methods) {
      CHECK(method["forward_ms"] > 0);
      CHECK(method["backward_ms"] > 0);
      CHECK(method["difference"] < 1e-5);
    }
  }
  // What the paper claims of memory, where the grids are fine.
  const nlohmann::json& last = stages[2]["methods"];
  for (const char* dense : {"Dense", "SparseOnDense"}) {
    CHECK(last["SPS"]["keeps_bytes"] < last[dense]["keeps_bytes"]);
    CHECK(last["SPS"]["forward_extra_bytes"] < last[dense]["forward_extra_bytes"]);
    CHECK(last["SPS"]["training_extra_bytes"] < last[dense]["training_extra_bytes"]);
  }
  const Outcome wrong = run({"bench", "sps-methods", "--rois", "0"});
  CHECK(wrong.code == 2);
  CHECK(run({"bench"}).err.find("--model is required") != std::string::npos);
}

}  // namespace tessera::test
