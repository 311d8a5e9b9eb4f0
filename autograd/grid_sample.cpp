#include "autograd/grid_sample.h"

namespace tessera {

Var grid_sample(const Var& x, const Var& grid, bool align_corners) {
  const Tensor kept_x = grid.requires_grad() ? x.value() : Tensor();
  return record(
      "grid_sample", ops::grid_sample(x.value(), grid.value(), align_corners), {x, grid},
      [kept_x, grid = grid.value(), x_shape = x.shape(), align_corners](const Tensor& gy, Gradients& gradients) {
        if (gradients.needs(0)) gradients.add(0, ops::grid_sample_backward_input(gy, grid, x_shape, align_corners));
        if (gradients.needs(1)) gradients.add(1, ops::grid_sample_backward_grid(gy, kept_x, grid, align_corners));
      });
}

Var sample_points(const Var& x, const Tensor& image, const Var& points) {
  const Tensor kept_x = points.requires_grad() ? x.value() : Tensor();
  return record("sample_points", ops::sample_points(x.value(), image, points.value()), {x, points},
                [kept_x, image, points = points.value(), x_shape = x.shape()](const Tensor& gy, Gradients& gradients) {
                  if (gradients.needs(0))
                    gradients.add(0, ops::sample_points_backward_input(gy, image, points, x_shape));
                  if (gradients.needs(1))
                    gradients.add(1, ops::sample_points_backward_points(gy, kept_x, image, points));
                });
}

}  // namespace tessera
