#include "autograd/interpolate.h"

namespace tessera {

Var interpolate(const Var& x, i64 height, i64 width, ops::Interpolation mode, bool align_corners) {
  return record("interpolate", ops::interpolate(x.value(), height, width, mode, align_corners), {x},
                [shape = x.shape(), mode, align_corners](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::interpolate_backward(gy, shape, mode, align_corners));
                });
}

}  // namespace tessera
