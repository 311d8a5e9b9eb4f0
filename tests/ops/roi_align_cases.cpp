// Cases of roi_align.
#include <cmath>

#include "autograd/roi_align.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

using ops::RoiAlignParams;

// One bilinear point, with torchvision's edges, as a loop over the pixels of the axis: each has the weight of a tent.
double axis_weight(double v, i64 pixel, i64 size) {
  if (v < -1 || v > static_cast<double>(size)) return 0;
  const double inside = std::min(std::max(v, 0.0), static_cast<double>(size - 1));
  return std::max(0.0, 1 - std::abs(inside - static_cast<double>(pixel)));
}

// The weights of all pixels in bin i of an axis: the mean over its points, one at a time.
std::vector<double> bin_weights(double begin, double end, i64 i, i64 bins, i64 size, const RoiAlignParams& p) {
  begin *= p.spatial_scale, end *= p.spatial_scale;
  if (p.aligned) begin -= 0.5, end -= 0.5;
  const double length = p.aligned ? end - begin : std::max(end - begin, 1.0), bin = length / static_cast<double>(bins);
  const i64 points = p.sampling_ratio > 0 ? p.sampling_ratio : static_cast<i64>(std::ceil(bin));
  std::vector<double> weights(static_cast<size_t>(size));
  for (i64 a = 0; a < points; ++a) {
    const double v =
        begin + (static_cast<double>(i) + (static_cast<double>(a) + 0.5) / static_cast<double>(points)) * bin;
    for (i64 pixel = 0; pixel < size; ++pixel)
      weights[static_cast<size_t>(pixel)] += axis_weight(v, pixel, size) / static_cast<double>(points);
  }
  return weights;
}

References naive_roi_align(const Tensors& t, const RoiAlignParams& p) {
  const Tensor &x = t[0], &rois = t[1];
  const i64 R = rois.dim(0), H = x.dim(1), W = x.dim(2), C = x.dim(3);
  Tensor y = Tensor::zeros({R, p.height, p.width, C}, DType::kF64);
  for (i64 r = 0; r < R; ++r)
    for (i64 i = 0; i < p.height; ++i)
      for (i64 j = 0; j < p.width; ++j) {
        const auto rows = bin_weights(at(rois, r, 2), at(rois, r, 4), i, p.height, H, p);
        const auto columns = bin_weights(at(rois, r, 1), at(rois, r, 3), j, p.width, W, p);
        for (i64 v = 0; v < H; ++v)
          for (i64 u = 0; u < W; ++u)
            for (i64 c = 0; c < C; ++c)
              at(y, r, i, j, c) += rows[static_cast<size_t>(v)] * columns[static_cast<size_t>(u)] *
                                   at(x, static_cast<i64>(at(rois, r, 0)), v, u, c);
      }
  return y;
}

// Boxes around and partly outside the map, of all sizes up to 1.5 times the map's.
Input boxes(const Shape& x, i64 R, double scale) {
  return {[=](Random& random) {
    Tensor rois = Tensor::empty({R, 5}, DType::kF64);
    const double W = static_cast<double>(x[2]) / scale, H = static_cast<double>(x[1]) / scale;
    for (i64 r = 0; r < R; ++r) {
      const double w = W * random.uniform(0.05, 1.5), h = H * random.uniform(0.05, 1.5);
      const double cx = random.uniform(-0.2 * W, 1.2 * W), cy = random.uniform(-0.2 * H, 1.2 * H);
      const double row[5] = {static_cast<double>(random.integer(0, x[0] - 1)), cx - w / 2, cy - h / 2, cx + w / 2,
                             cy + h / 2};
      for (i64 k = 0; k < 5; ++k) at(rois, r, k) = static_cast<double>(static_cast<float>(row[k]));
    }
    return rois;
  }};
}

OpCase roi_case(const std::string& name, const Shape& x, const Input& rois, const RoiAlignParams& p) {
  return {.name = fmt::format("{} x={} to {}x{} scale={} ratio={} aligned={}", name, x, p.height, p.width,
                              p.spatial_scale, p.sampling_ratio, p.aligned),
          .in = {uniform(x), rois},
          .run = [=](const Vars& v) { return roi_align(v[0], v[1], p); },
          .reference = [=](const Tensors& t) { return naive_roi_align(t, p); },
          .grad = {0},
          .reduction = static_cast<double>(x[1] * x[2])};
}

}  // namespace

OP_CASES(roi_align) {
  in_bf16({1});
  for (const bool aligned : {false, true})
    for (const i64 ratio : {-1, 0, 1, 2, 3}) {
      const RoiAlignParams p{
          .height = 7, .width = 5, .spatial_scale = 0.25, .sampling_ratio = ratio, .aligned = aligned};
      add(roi_case("boxes", {2, 9, 13, 11}, boxes({2, 9, 13, 11}, 6, 0.25), p));
      add(roi_case("one channel", {3, 17, 8, 1}, boxes({3, 17, 8, 1}, 9, 0.25), p));
      add(roi_case("one pixel", {1, 1, 1, 3}, boxes({1, 1, 1, 3}, 5, 0.25), p));
      add(roi_case("odd boxes", {1, 6, 8, 4}, values({9, 5}, {0, 4,    4,   4,    4,       // empty
                                                              0, 20,   16,  8,    6,       // inverted
                                                              0, -900, -80, 1000, 700,     // many times the map
                                                              0, 3e3,  3e3, 4e3,  4e3,     // far outside
                                                              0, -8,   -8,  -4,   -4,      // ends at -1
                                                              0, 30,   22,  40,   30,      // begins at the far edge
                                                              0, 12,   2,   12,   20,      // no width
                                                              0, 12,   20,  16,   2,       // inverted in y alone
                                                              0, 2,    2,   2.5,  2.25}),  // far smaller than a pixel
                   p));
    }
  const RoiAlignParams square{.height = 3, .width = 3, .sampling_ratio = 2, .aligned = true};
  add(roi_case("no rois", {2, 4, 4, 3}, constant({0, 5}, 0), square));
  add(roi_case("no images and no rois", {0, 4, 4, 3}, constant({0, 5}, 0), square));
  add(roi_case("no channels", {1, 4, 4, 0}, boxes({1, 4, 4, 0}, 2, 1), square));
  add(roi_case("129 channels, more rows than a strip", {2, 37, 9, 129}, boxes({2, 37, 9, 129}, 12, 1), square));
  add(roi_case("132 channels", {1, 9, 10, 132}, boxes({1, 9, 10, 132}, 3, 1), square));
  add(roi_case("one bin", {1, 20, 20, 6}, boxes({1, 20, 20, 6}, 4, 1), {.height = 1, .width = 1}));
  add(roi_case("bins of many pixels", {1, 45, 70, 4}, boxes({1, 45, 70, 4}, 5, 1), {.height = 1, .width = 2}));
  add(roi_case("far apart points", {1, 45, 70, 4}, boxes({1, 45, 70, 4}, 5, 1),
               {.height = 1, .width = 1, .sampling_ratio = 3}));
  add(roi_case("more columns than a block", {1, 3, 8, 2}, boxes({1, 3, 8, 2}, 2, 1), {.height = 2, .width = 700}));

  const auto run = [](const Shape& x, const std::vector<float>& rois, const RoiAlignParams& p) {
    roi_align(Var(Tensor::zeros(x)), Var(Tensor::from(rois, {static_cast<i64>(rois.size() / 5), 5})), p);
  };
  const Shape map{2, 4, 4, 3};
  error("image outside", "roi_align: roi 1 is of image 2, x has images 0 to 1", [=] {
    run(map, {0, 1, 1, 2, 2, 2, 1, 1, 2, 2}, square);
  });
  error("image between two", "roi_align: roi 0 is of image 0.5", [=] { run(map, {0.5, 1, 1, 2, 2}, square); });
  error("image NaN", "roi_align: roi 0 is of image nan", [=] { run(map, {NAN, 1, 1, 2, 2}, square); });
  error("coordinate NaN", "roi_align: roi 0 is not finite: 1, 1, nan, 2", [=] { run(map, {0, 1, 1, NAN, 2}, square); });
  error("coordinate infinite", "roi_align: roi 0 is not finite: -inf, 1, 2, 2", [=] {
    run(map, {0, -INFINITY, 1, 2, 2}, square);
  });
  error("no bins", "roi_align: the output must have bins, asked for 0 x 3",
        [=] { run(map, {}, {.height = 0, .width = 3}); });
  error("no pixels", "roi_align: x has no pixels: [2, 0, 4, 3]", [=] { run({2, 0, 4, 3}, {}, square); });
  error("ratio beyond all pixels", "roi_align: sampling_ratio 65537 must be at most 65536",
        [=] { run(map, {}, {.height = 3, .width = 3, .sampling_ratio = 65537}); });
  error("scale", "roi_align: spatial_scale 0 must be positive",
        [=] { run(map, {}, {.height = 3, .width = 3, .spatial_scale = 0}); });
  error("rois without image", "roi_align: rois must be [R, 5] with rows (image, x0, y0, x1, y1), got [3, 4]", [=] {
    roi_align(Var(Tensor::zeros(map)), Var(Tensor::zeros({3, 4})), square);
  });
  error("dtypes", "roi_align: rois are f64, x is f32", [=] {
    roi_align(Var(Tensor::zeros(map)), Var(Tensor::zeros({3, 5}, DType::kF64)), square);
  });
  error("gradient of rois", "roi_align: has no derivative of the rois; detach() them", [=] {
    const Var rois(Tensor::from(std::vector<float>{0, 1, 1, 2, 2}, {1, 5}), true);
    const Var y = roi_align(Var(Tensor::zeros(map)), rois, square);
    y.backward(Tensor::zeros(y.shape()));
  });

  for (const i64 bins : {7, 14}) {
    const RoiAlignParams p{.height = bins, .width = bins, .spatial_scale = 0.25, .sampling_ratio = 2, .aligned = true};
    OpCase one = roi_case("1000 rois", {1, 160, 160, 256}, boxes({1, 160, 160, 256}, 1000, 0.25), p);
    one.bytes = 4.0 * 1000 * 256 * static_cast<double>(bins * bins);
    bench(one);
  }
}

}  // namespace tessera::test
