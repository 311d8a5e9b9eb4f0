// Cases of grid_sample and sample_points.
#include <cmath>

#include "autograd/grid_sample.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

double tent(double v, i64 pixel) {
  return std::max(0.0, 1 - std::abs(v - static_cast<double>(pixel)));
}

// Every pixel of the map with the weight of a tent around (h, w); outside there is nothing to sum.
double sample(const Tensor& x, i64 n, double h, double w, i64 c) {
  double sum = 0;
  for (i64 v = 0; v < x.dim(1); ++v)
    for (i64 u = 0; u < x.dim(2); ++u) sum += tent(h, v) * tent(w, u) * at(x, n, v, u, c);
  return sum;
}

double pixel_of(double coordinate, i64 size, bool align_corners) {
  const double n = static_cast<double>(size);
  return align_corners ? (coordinate + 1) / 2 * (n - 1) : ((coordinate + 1) * n - 1) / 2;
}

References naive_grid_sample(const Tensors& t, bool align_corners) {
  const Tensor &x = t[0], &grid = t[1];
  Tensor y = Tensor::zeros({x.dim(0), grid.dim(1), grid.dim(2), x.dim(3)}, DType::kF64);
  for (i64 n = 0; n < y.dim(0); ++n)
    for (i64 i = 0; i < y.dim(1); ++i)
      for (i64 j = 0; j < y.dim(2); ++j)
        for (i64 c = 0; c < y.dim(3); ++c)
          at(y, n, i, j, c) = sample(x, n, pixel_of(at(grid, n, i, j, 1), x.dim(1), align_corners),
                                     pixel_of(at(grid, n, i, j, 0), x.dim(2), align_corners), c);
  return y;
}

References naive_sample_points(const Tensors& t) {
  const Tensor &x = t[0], &image = t[1], &points = t[2];
  Tensor y = Tensor::zeros({points.dim(0), x.dim(3)}, DType::kF64);
  for (i64 p = 0; p < y.dim(0); ++p)
    for (i64 c = 0; c < y.dim(1); ++c)
      at(y, p, c) = sample(x, image.data<i64>()[p], at(points, p, 1) * static_cast<double>(x.dim(1)) - 0.5,
                           at(points, p, 0) * static_cast<double>(x.dim(2)) - 0.5, c);
  return y;
}

}  // namespace

OP_CASES(grid_sample) {
  in_bf16({1});
  const auto grid_case = [](const std::string& name, const Shape& x, const Input& grid, bool align_corners) {
    return OpCase{.name = fmt::format("{} x={} align_corners={}", name, x, align_corners),
                  .in = {uniform(x), grid},
                  .run = [=](const Vars& v) { return grid_sample(v[0], v[1], align_corners); },
                  .reference = [=](const Tensors& t) { return naive_grid_sample(t, align_corners); },
                  .grad = {0, 1},
                  .reduction = 4 + 0.1 * static_cast<double>(x[1] * x[2])};  // coordinates lose bits with the size
  };
  for (const bool corners : {false, true}) {
    add(grid_case("inside and outside", {2, 7, 5, 3}, uniform({2, 4, 6, 2}, -1.4, 1.4), corners));
    add(grid_case("one channel", {1, 9, 8, 1}, uniform({1, 5, 7, 2}, -1.1, 1.1), corners));
    add(grid_case("one pixel", {1, 1, 1, 2}, uniform({1, 3, 3, 2}, -1.4, 1.4), corners));
    add(grid_case("67 channels", {2, 6, 6, 67}, uniform({2, 3, 5, 2}, -1.2, 1.2), corners));
    add(grid_case("8 channels, many cells", {2, 17, 19, 8}, uniform({2, 6, 9, 2}, -1.2, 1.2), corners));
    add(grid_case("no points", {2, 6, 6, 3}, uniform({2, 0, 5, 2}), corners));
    add(grid_case("no images", {0, 6, 6, 3}, uniform({0, 2, 5, 2}), corners));
    OpCase edges =
        grid_case("edges and far outside", {1, 3, 4, 2},
                  values({1, 1, 9, 2}, {-1, -1, 1, 1, -1, 1, 1, -1, 0, 0, -2, 0, 0, 2, 1e30, 0, 0, -3e38}), corners);
    edges.grad = {0};  // some lie on kinks
    add(edges);
    OpCase odd = grid_case("NaN and infinity give zeros", {1, 3, 4, 2},
                           values({1, 1, 4, 2}, {NAN, 0, 0, INFINITY, -INFINITY, 0, 0.25, NAN}), corners);
    odd.reference = [](const Tensors&) { return Tensor::zeros({1, 1, 4, 2}, DType::kF64); };
    odd.grad = {};
    add(odd);
  }

  const auto point_case = [](const std::string& name, const Shape& x, const Input& image, const Input& points) {
    return OpCase{.op = "sample_points",
                  .name = fmt::format("{} x={}", name, x),
                  .in = {uniform(x), image, points},
                  .run = [=](const Vars& v) { return sample_points(v[0], v[1].value(), v[2]); },
                  .reference = naive_sample_points,
                  .grad = {0, 2},
                  .reduction = 4 + 0.1 * static_cast<double>(x[1] * x[2])};
  };
  in_bf16({2});
  add(point_case("images in any order", {3, 7, 5, 3}, integers({40}, 0, 2), uniform({40, 2}, -0.2, 1.2)));
  add(point_case("70 channels", {2, 9, 4, 70}, integers({21}, 0, 1), uniform({21, 2}, 0, 1)));
  add(point_case("one pixel", {1, 1, 1, 1}, integers({5}, 0, 0), uniform({5, 2}, -0.4, 1.4)));
  add(point_case("no points", {2, 7, 5, 3}, integers({0}, 0, 0), uniform({0, 2})));

  const auto run = [](const Shape& x, const Shape& grid) {
    grid_sample(Var(Tensor::zeros(x)), Var(Tensor::zeros(grid)));
  };
  error("images", "grid_sample: grid must be [N, Ho, Wo, 2] with N = 2, got [1, 5, 5, 2]; x [2, 4, 4, 3]", [=] {
    run({2, 4, 4, 3}, {1, 5, 5, 2});
  });
  error("three coordinates", "grid_sample: grid must be [N, Ho, Wo, 2] with N = 1, got [1, 5, 5, 3]", [=] {
    run({1, 4, 4, 3}, {1, 5, 5, 3});
  });
  error("no pixels", "grid_sample: x has no pixels: [1, 0, 4, 3]", [=] { run({1, 0, 4, 3}, {1, 5, 5, 2}); });
  error("dtypes", "grid_sample: grid has dtype f64", [=] {
    grid_sample(Var(Tensor::zeros({1, 4, 4, 3})), Var(Tensor::zeros({1, 2, 2, 2}, DType::kF64)));
  });
  const auto points = [](const std::vector<i64>& image, i64 count) {
    sample_points(Var(Tensor::zeros({2, 4, 4, 3})), Tensor::from(image), Var(Tensor::zeros({count, 2})));
  };
  error("sample_points", "image outside", "sample_points: point 2 is of image 2, x has images 0 to 1", [=] {
    points({0, 1, 2}, 3);
  });
  error("sample_points", "negative image", "sample_points: point 0 is of image -1", [=] { points({-1}, 1); });
  error("sample_points", "number of images", "sample_points: image must be [3], got [2]", [=] { points({0, 1}, 3); });

  OpCase map = grid_case("a whole map", {1, 160, 160, 256}, uniform({1, 160, 160, 2}, -1.05, 1.05), false);
  map.bytes = 4.0 * 2 * 160 * 160 * 256;
  bench(map);
}

}  // namespace tessera::test
