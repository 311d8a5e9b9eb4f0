// Suppression and assignment.
#include <fmt/core.h>

#include "bench/bench.h"
#include "ops/assignment.h"
#include "ops/boxes.h"

namespace tessera::bench {

void matching_cases(Cases& cases) {
  cases.push_back(
      {.group = "matching", .name = "nms 5000 boxes", .peer = {{"op", "nms"}, {"boxes", 5000}}, .make = []() -> Call {
         // Corners in 600 x 600, sides of 10 to 110, as the peer's.
         const Tensor corner = random_host_tensor({5000, 2}, 0, 600);
         const Tensor extent = random_host_tensor({5000, 2}, 10, 110);
         Tensor boxes = Tensor::empty({5000, 4});
         for (i64 i = 0; i < 5000; ++i)
           for (i64 axis = 0; axis < 2; ++axis) {
             const float low = corner.data<float>()[2 * i + axis];
             boxes.data<float>()[4 * i + axis] = low;
             boxes.data<float>()[4 * i + 2 + axis] = low + extent.data<float>()[2 * i + axis];
           }
         return [boxes = boxes.to(device()), scores = random_tensor({5000}, 0, 1)] { ops::nms(boxes, scores, 0.5); };
       }});
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
