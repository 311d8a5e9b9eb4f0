#include "autograd/pool.h"

namespace tessera {

Var max_pool2d(const Var& x, const ops::Pool2dParams& params) {
  const ops::MaxPool2dOutput output = ops::max_pool2d(x.value(), params);
  return record("max_pool2d", output.y, {x},
                [argmax = output.argmax, shape = x.shape(), params](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::max_pool2d_backward(gy, argmax, shape, params));
                });
}

Var avg_pool2d(const Var& x, const ops::Pool2dParams& params) {
  return record("avg_pool2d", ops::avg_pool2d(x.value(), params), {x},
                [shape = x.shape(), params](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::avg_pool2d_backward(gy, shape, params));
                });
}

Var adaptive_avg_pool2d(const Var& x, i64 height, i64 width) {
  return record("adaptive_avg_pool2d", ops::adaptive_avg_pool2d(x.value(), height, width), {x},
                [shape = x.shape()](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::adaptive_avg_pool2d_backward(gy, shape));
                });
}

}  // namespace tessera
