// The operator of docs/add-an-operator.md, built from the page.
#include <doctest/doctest.h>

#include "tests/cli/program.h"

namespace tessera::test {

TEST_CASE("docs: the page's operator passes its cases on every device, forward and backward") {
  const Outcome support = run({"support"}, "tessera_mish");
  for (const char* line : {"mish cpu\n", "mish_backward cpu\n"}) CHECK(support.out.find(line) != std::string::npos);
  for (const char* mode : {"test", "grad"}) {
    const Outcome outcome = run({mode, "-o", "mish"}, "tessera_mish");
    INFO(mode, ": ", outcome.out, outcome.err);
    CHECK(outcome.code == 0);
    CHECK(outcome.out.find("mish") != std::string::npos);
  }
}

}  // namespace tessera::test
