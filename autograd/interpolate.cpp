#include "autograd/interpolate.h"

#include "ops/arrange.h"

namespace tessera {

Var interpolate(const Var& x, i64 height, i64 width, ops::Interpolation mode, bool align_corners) {
  return record("interpolate", ops::interpolate(x.value(), height, width, mode, align_corners), {x},
                [shape = x.shape(), mode, align_corners](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::interpolate_backward(gy, shape, mode, align_corners));
                });
}

Var concat_resized(const std::vector<Var>& parts, i64 height, i64 width, ops::Interpolation mode) {
  std::vector<Tensor> values;
  std::vector<Shape> shapes;
  for (const Var& part : parts) {
    values.push_back(part.value());
    shapes.push_back(part.shape());
  }
  return record("concat_resized", ops::concat_resized(values, height, width, mode), parts,
                [shapes, mode](const Tensor& gy, Gradients& gradients) {
                  i64 channel = 0;
                  for (int i = 0; i < static_cast<int>(shapes.size()); ++i) {
                    const Shape& shape = shapes[static_cast<size_t>(i)];
                    const bool same = shape[1] == gy.dim(1) && shape[2] == gy.dim(2);
                    if (gradients.needs(i))
                      gradients.add(i, same ? ops::slice(gy, 3, channel, channel + shape[3])
                                            : ops::interpolate_backward(gy, shape, mode, false, channel));
                    channel += shape[3];
                  }
                });
}

}  // namespace tessera
