#include "ops/assignment.h"

namespace tessera::ops {

Assignment linear_sum_assignment(const Tensor& cost, bool maximize) {
  TESSERA_CHECK(cost.defined() && cost.rank() == 2, "linear_sum_assignment: cost must be [R, C], got {}", cost.shape());
  Assignment assignment;
  linear_sum_assignment_kernels(cost, maximize, assignment);
  return assignment;
}

}  // namespace tessera::ops
