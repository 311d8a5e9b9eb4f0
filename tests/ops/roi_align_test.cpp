#include "ops/roi_align.h"

#include <omp.h>

#include <vector>

#include "tests/ops/compare.h"
#include "tests/support/check_error.h"

namespace tessera::test {
namespace {

using ops::RoiAlignParams;

struct Naive {
  Tensor y, gx;
};

// Point by point and corner by corner in f64, the way the definition reads.
Naive naive(const Tensor& x32, const Tensor& rois32, const Tensor& gy32, const RoiAlignParams& p) {
  const Tensor x = x32.to(DType::kF64), rois = rois32.to(DType::kF64), gy = gy32.to(DType::kF64);
  const i64 H = x.dim(1), W = x.dim(2), C = x.dim(3), R = rois.dim(0);
  Naive result{Tensor::zeros(gy.shape(), DType::kF64), Tensor::zeros(x.shape(), DType::kF64)};
  const double *pixels = x.data<double>(), *gradients = gy.data<double>();
  double *y = result.y.data<double>(), *gx = result.gx.data<double>();
  for (i64 r = 0; r < R; ++r) {
    const double* roi = rois.data<double>() + r * 5;
    const double shift = p.aligned ? 0.5 : 0;
    const double x0 = roi[1] * p.spatial_scale - shift, y0 = roi[2] * p.spatial_scale - shift;
    double w = roi[3] * p.spatial_scale - shift - x0, h = roi[4] * p.spatial_scale - shift - y0;
    if (!p.aligned) w = std::max(w, 1.0), h = std::max(h, 1.0);
    const double bin_h = h / double(p.height), bin_w = w / double(p.width);
    const i64 ny = p.sampling_ratio ? p.sampling_ratio : i64(std::ceil(bin_h));
    const i64 nx = p.sampling_ratio ? p.sampling_ratio : i64(std::ceil(bin_w));
    for (i64 bin = 0; bin < p.height * p.width; ++bin)
      for (i64 a = 0; a < ny; ++a)
        for (i64 b = 0; b < nx; ++b) {
          double v = y0 + (double(bin / p.width) + (double(a) + 0.5) / double(ny)) * bin_h;
          double u = x0 + (double(bin % p.width) + (double(b) + 0.5) / double(nx)) * bin_w;
          if (v < -1 || v > double(H) || u < -1 || u > double(W)) continue;
          v = std::clamp(v, 0.0, double(H - 1)), u = std::clamp(u, 0.0, double(W - 1));
          for (const i64 down : {0, 1})
            for (const i64 right : {0, 1}) {
              const i64 row = i64(v) + down, column = i64(u) + right;
              if (row >= H || column >= W) continue;  // their weight is 0
              const double fv = v - std::floor(v), fu = u - std::floor(u);
              const double weight = (down ? fv : 1 - fv) * (right ? fu : 1 - fu) / double(ny * nx);
              for (i64 c = 0; c < C; ++c) {
                const i64 from = ((i64(roi[0]) * H + row) * W + column) * C + c;
                const i64 to = (r * p.height * p.width + bin) * C + c;
                y[to] += weight * pixels[from];
                gx[from] += weight * gradients[to];
              }
            }
        }
  }
  return result;
}

Tensor random_rois(Random& random, i64 R, i64 N, double H, double W, DType dtype) {
  Tensor rois = Tensor::empty({R, 5}, DType::kF64);
  for (i64 r = 0; r < R; ++r) {
    double* roi = rois.data<double>() + r * 5;
    const double w = W * random.uniform(-0.1, 1.4), h = H * random.uniform(-0.1, 1.4);
    const double x0 = random.uniform(-0.5, 1) * W, y0 = random.uniform(-0.5, 1) * H;
    const double row[5] = {double(random.integer(0, N - 1)), x0, y0, x0 + w, y0 + h};
    for (int k = 0; k < 5; ++k) roi[k] = double(float(row[k]));
  }
  return rois.to(dtype);
}

}  // namespace

TEST_CASE("roi_align: a ramp gives the coordinates of the bins' centres") {
  // x[v, u] = u + 10 v; bilinear means of it are exact. The box covers pixels 1 to 3, so its centre is (2, 2) - 1/2.
  Tensor x = Tensor::empty({1, 5, 5, 1});
  for (i64 i = 0; i < 25; ++i) x.data<float>()[i] = static_cast<float>(i % 5 + 10 * (i / 5));
  const Tensor roi = Tensor::from(std::vector<float>{0, 1, 1, 3, 3}, {1, 5});
  for (const i64 ratio : {0, 1, 2}) {
    const RoiAlignParams aligned{.height = 1, .width = 1, .sampling_ratio = ratio, .aligned = true};
    CHECK(ops::roi_align(x, roi, aligned).data<float>()[0] == doctest::Approx(16.5));
    const RoiAlignParams plain{.height = 1, .width = 1, .sampling_ratio = ratio};
    CHECK(ops::roi_align(x, roi, plain).data<float>()[0] == doctest::Approx(22));
  }
}

TEST_CASE("roi_align: a point is 0 beyond one pixel outside, and the edge's value up to there") {
  const Tensor x = Tensor::full({1, 2, 2, 1}, 3);
  const auto one_point = [&](float v) {  // a roi of one pixel around row v
    const Tensor roi = Tensor::from(std::vector<float>{0, 0, v - 0.5F, 1, v + 0.5F}, {1, 5});
    return ops::roi_align(x, roi, {.height = 1, .width = 1, .sampling_ratio = 1}).data<float>()[0];
  };
  CHECK(one_point(-1.0625F) == 0);
  CHECK(one_point(-1) == 3);
  CHECK(one_point(2) == 3);
  CHECK(one_point(2.0625F) == 0);
}

TEST_CASE("roi_align: forward and gradient agree with the definition on random shapes") {
  Random random(1);
  const i64 channels[] = {1, 2, 3, 5, 8, 15, 16, 17, 31, 64, 70, 130, 257, 300};
  for (int draw = 0; draw < 1200; ++draw) {
    const i64 N = random.integer(1, 3), H = random.integer(1, 12), W = random.integer(1, 12);
    const i64 C = channels[random.integer(0, 13)], R = random.integer(0, 4);
    const RoiAlignParams p{.height = random.integer(1, 4),
                           .width = random.integer(1, 4),
                           .spatial_scale = random.chance(0.5) ? 1 : 0.25,
                           .sampling_ratio = random.integer(0, 3),
                           .aligned = random.chance(0.5)};
    const DType dtype = random.chance(0.5) ? DType::kF32 : DType::kF64;
    INFO("draw ", draw, ": x [", N, ", ", H, ", ", W, ", ", C, "], R ", R, ", bins ", p.height, " x ", p.width,
         ", ratio ", p.sampling_ratio, ", aligned ", p.aligned);
    const Tensor x = random_tensor(random, {N, H, W, C}, dtype);
    const Tensor rois = random_rois(random, R, N, double(H) / p.spatial_scale, double(W) / p.spatial_scale, dtype);
    const Tensor gy = random_tensor(random, {R, p.height, p.width, C}, dtype);
    const Naive expected = naive(x, rois, gy, p);
    REQUIRE(difference(ops::roi_align(x, rois, p), expected.y) < tolerance(dtype));
    REQUIRE(difference(ops::roi_align_backward(gy, rois, x.shape(), p), expected.gx) < tolerance(dtype));
  }
}

TEST_CASE("roi_align: huge rois take no time and stay finite") {
  Random random(2);
  const Tensor x = random_tensor(random, {1, 9, 9, 3}, DType::kF32);
  for (const float far : {1e5F, 1e9F, 1e20F, 1e30F, 1.5e38F})
    for (const bool aligned : {false, true}) {
      const Tensor rois =
          Tensor::from(std::vector<float>{0, -far, -far, far, far, 0, 0, 0, far, far, 0, -far, -far, 5, 5}, {3, 5});
      const RoiAlignParams p{.height = 7, .width = 7, .aligned = aligned};
      const Tensor y = ops::roi_align(x, rois, p);
      for (const float value : y.span<float>()) REQUIRE(std::abs(value) < 1);
      const Tensor gx = ops::roi_align_backward(Tensor::full(y.shape(), 1), rois, x.shape(), p);
      for (const float value : gx.span<float>()) REQUIRE(std::isfinite(value));
    }
}

TEST_CASE("roi_align: NaN in a pixel reaches only the bins that read it") {
  Tensor x = Tensor::zeros({1, 4, 4, 17});
  x.data<float>()[5 * 17 + 3] = NAN;  // row 1, column 1
  const Tensor roi = Tensor::from(std::vector<float>{0, 0, 0, 4, 4}, {1, 5});
  const Tensor y = ops::roi_align(x, roi, {.height = 4, .width = 4, .sampling_ratio = 1, .aligned = true});
  for (i64 i = 0; i < y.numel(); ++i) CHECK(std::isnan(y.data<float>()[i]) == (i == 5 * 17 + 3));
}

TEST_CASE("roi_align: the bits do not depend on the number of threads") {
  Random random(3);
  const int threads = omp_get_max_threads();
  const RoiAlignParams p{.height = 7, .width = 5, .sampling_ratio = 0, .aligned = true};
  const Tensor x = random_tensor(random, {2, 33, 21, 37}, DType::kF32);
  const Tensor rois = random_rois(random, 40, 2, 33, 21, DType::kF32);
  const Tensor gy = random_tensor(random, {40, 7, 5, 37}, DType::kF32);
  omp_set_num_threads(1);
  const Tensor y = ops::roi_align(x, rois, p), gx = ops::roi_align_backward(gy, rois, x.shape(), p);
  for (const int count : {2, 3, 7}) {
    omp_set_num_threads(count);
    CHECK(same_bits(ops::roi_align(x, rois, p), y));
    CHECK(same_bits(ops::roi_align_backward(gy, rois, x.shape(), p), gx));
  }
  omp_set_num_threads(threads);
}

TEST_CASE("roi_align: the backward checks its gradient's shape") {
  CHECK_ERROR(ops::roi_align_backward(Tensor::zeros({1, 2, 2, 3}), Tensor::zeros({1, 5}), {1, 4, 4, 3},
                                      {.height = 2, .width = 3}),
              "roi_align_backward: gy must be [1, 2, 3, 3], got [1, 2, 2, 3]");
}

}  // namespace tessera::test
