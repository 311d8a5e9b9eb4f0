#include "ops/grid_sample.h"

#include <algorithm>

#include "ops/checks.h"

namespace tessera::ops {

namespace {

void check_grid(const char* op, const Shape& x, DType dtype, const Tensor& grid) {
  check_map(op, x);
  check_operand(op, "grid", grid, parameter_dtype(dtype));
  TESSERA_CHECK(grid.rank() == 4 && grid.dim(0) == x[0] && grid.dim(3) == 2,
                "{}: grid must be [N, Ho, Wo, 2] with N = {}, got {}; x {}", op, x[0], grid.shape(), x);
}

void check_points(const char* op, const Shape& x, DType dtype, const Tensor& image, const Tensor& points) {
  check_map(op, x);
  check_operand(op, "points", points, parameter_dtype(dtype));
  TESSERA_CHECK(points.rank() == 2 && points.dim(1) == 2, "{}: points must be [P, 2], got {}", op, points.shape());
  TESSERA_CHECK(image.defined() && image.dtype() == DType::kI64, "{}: image must be i64, one number per point", op);
  check_shape(op, "image", image, {points.dim(0)});
  if (image.device() != Device{}) return;  // elsewhere the kernel looks at the values
  const std::span<const i64> images = image.span<i64>();
  const auto wrong = std::ranges::find_if(images, [&](i64 n) { return n < 0 || n >= x[0]; });
  TESSERA_CHECK(wrong == images.end(), "{}: point {} is of image {}, x has images 0 to {}", op, wrong - images.begin(),
                *wrong, x[0] - 1);
}

// With -1 and 1 at the outer edges of the first and last pixel, or at their centres.
GridAxes grid_axes(const Shape& x, bool align_corners) {
  const auto axis = [&](i64 size) {
    const double n = static_cast<double>(size);
    return GridAxis{(align_corners ? n - 1 : n) / 2, (n - 1) / 2};
  };
  return {axis(x[1]), axis(x[2])};
}

GridAxes point_axes(const Shape& x) {
  return {{static_cast<double>(x[1]), -0.5}, {static_cast<double>(x[2]), -0.5}};
}

Shape result_shape(const Tensor& grid, i64 channels) {
  return {grid.dim(0), grid.dim(1), grid.dim(2), channels};
}

}  // namespace

Tensor grid_sample(const Tensor& x, const Tensor& grid, bool align_corners) {
  check_operand("grid_sample", "x", x, x.dtype());
  check_grid("grid_sample", x.shape(), x.dtype(), grid);
  Tensor y = Tensor::empty(result_shape(grid, x.dim(3)), x.dtype(), x.device());
  sample_points_kernels(x, {}, grid, grid_axes(x.shape(), align_corners), y);
  return y;
}

Tensor grid_sample_backward_input(const Tensor& gy, const Tensor& grid, const Shape& x_shape, bool align_corners) {
  check_operand("grid_sample_backward_input", "gy", gy, gy.dtype());
  check_grid("grid_sample_backward_input", x_shape, gy.dtype(), grid);
  check_shape("grid_sample_backward_input", "gy", gy, result_shape(grid, x_shape[3]));
  Tensor gx = Tensor::zeros(x_shape, gy.dtype(), gy.device());
  sample_points_backward_input_kernels(gy, {}, grid, grid_axes(x_shape, align_corners), gx);
  return gx;
}

Tensor grid_sample_backward_grid(const Tensor& gy, const Tensor& x, const Tensor& grid, bool align_corners) {
  check_operand("grid_sample_backward_grid", "gy", gy, gy.dtype());
  check_operand("grid_sample_backward_grid", "x", x, gy.dtype());
  check_grid("grid_sample_backward_grid", x.shape(), gy.dtype(), grid);
  check_shape("grid_sample_backward_grid", "gy", gy, result_shape(grid, x.dim(3)));
  Tensor ggrid = empty_like(grid);
  sample_points_backward_points_kernels(gy, x, {}, grid, grid_axes(x.shape(), align_corners), ggrid);
  return ggrid;
}

Tensor sample_points(const Tensor& x, const Tensor& image, const Tensor& points) {
  check_operand("sample_points", "x", x, x.dtype());
  check_points("sample_points", x.shape(), x.dtype(), image, points);
  Tensor y = Tensor::empty({points.dim(0), x.dim(3)}, x.dtype(), x.device());
  sample_points_kernels(x, image, points, point_axes(x.shape()), y);
  return y;
}

Tensor sample_points_backward_input(const Tensor& gy, const Tensor& image, const Tensor& points, const Shape& x_shape) {
  check_operand("sample_points_backward_input", "gy", gy, gy.dtype());
  check_points("sample_points_backward_input", x_shape, gy.dtype(), image, points);
  check_shape("sample_points_backward_input", "gy", gy, {points.dim(0), x_shape[3]});
  Tensor gx = Tensor::zeros(x_shape, gy.dtype(), gy.device());
  sample_points_backward_input_kernels(gy, image, points, point_axes(x_shape), gx);
  return gx;
}

Tensor sample_points_backward_points(const Tensor& gy, const Tensor& x, const Tensor& image, const Tensor& points) {
  check_operand("sample_points_backward_points", "gy", gy, gy.dtype());
  check_operand("sample_points_backward_points", "x", x, gy.dtype());
  check_points("sample_points_backward_points", x.shape(), gy.dtype(), image, points);
  check_shape("sample_points_backward_points", "gy", gy, {points.dim(0), x.dim(3)});
  Tensor gpoints = empty_like(points);
  sample_points_backward_points_kernels(gy, x, image, points, point_axes(x.shape()), gpoints);
  return gpoints;
}

}  // namespace tessera::ops
