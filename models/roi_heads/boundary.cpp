#include "models/roi_heads/boundary.h"

#include "ops/pointwise.h"
#include "ops/pool.h"

namespace tessera::roi_heads {

Tensor boundary(const Tensor& mask, i64 d) {
  const Tensor mean = ops::avg_pool2d(mask, {.kernel = 2 * d + 1, .stride = 1, .padding = d});
  const Tensor difference = ops::sub(mask, mean);
  return ops::greater_equal(ops::mul(difference, difference), 0.01).to(DType::kF32);  // a tenth itself never comes
}

}  // namespace tessera::roi_heads
