// Suppression and assignment.
#include <fmt/core.h>

#include "bench/bench.h"
#include "ops/assignment.h"

namespace tessera::bench {

void matching_cases(Cases& cases) {
  cases.push_back(
      {.group = "matching", .name = "nms 5000 boxes", .peer = {{"op", "nms"}, {"boxes", 5000}}, .make = {}});
  const i64 sizes[][2] = {{100, 20}, {300, 100}, {1000, 1000}};
  for (const auto& [rows, columns] : sizes)
    cases.push_back({.group = "matching",
                     .name = fmt::format("linear_sum_assignment {} x {}", rows, columns),
                     .peer = {{"op", "assignment"}, {"rows", rows}, {"columns", columns}},
                     .make = [=]() -> Call {
                       const Tensor cost = random_tensor({rows, columns}, 0, 1);
                       return [=] { ops::linear_sum_assignment(cost); };
                     }});
}

}  // namespace tessera::bench
