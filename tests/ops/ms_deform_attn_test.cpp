#include "ops/ms_deform_attn.h"

#include <vector>

#include "ops/grid_sample.h"
#include "tests/ops/compare.h"
#include "tests/support/check_error.h"

namespace tessera::test {
namespace {

using Levels = std::vector<ops::LevelSize>;

struct Naive {
  Tensor y, gvalue, glocations, gweights;
};

// Corner by corner in f64.
Naive naive(const Tensor& value32, const Levels& levels, const Tensor& locations32, const Tensor& weights32,
            const Tensor& gy32) {
  const Tensor value = value32.to(DType::kF64), locations = locations32.to(DType::kF64),
               weights = weights32.to(DType::kF64), gy = gy32.to(DType::kF64);
  const i64 N = value.dim(0), S = value.dim(1), M = value.dim(2), d = value.dim(3), Q = gy.dim(1), P = weights.dim(4);
  Naive r{Tensor::zeros(gy.shape(), DType::kF64), Tensor::zeros(value.shape(), DType::kF64),
          Tensor::zeros(locations.shape(), DType::kF64), Tensor::zeros(weights.shape(), DType::kF64)};
  const i64 samples = N * Q * M * i64(levels.size()) * P;
  for (i64 s = 0; s < samples; ++s) {
    const i64 level = s / P % i64(levels.size()), m = s / P / i64(levels.size()) % M;
    const i64 q = s / P / i64(levels.size()) / M % Q, n = s / P / i64(levels.size()) / M / Q;
    i64 start = 0;
    for (i64 l = 0; l < level; ++l) start += levels[l].height * levels[l].width;
    const i64 H = levels[level].height, W = levels[level].width;
    const double u = locations.data<double>()[2 * s] * double(W) - 0.5;
    const double v = locations.data<double>()[2 * s + 1] * double(H) - 0.5, a = weights.data<double>()[s];
    for (const double row : {std::floor(v), std::floor(v) + 1})
      for (const double column : {std::floor(u), std::floor(u) + 1}) {
        if (!(row >= 0 && row < double(H) && column >= 0 && column < double(W))) continue;
        const double wv = 1 - std::abs(v - row), wu = 1 - std::abs(u - column);
        for (i64 c = 0; c < d; ++c) {
          const i64 from = ((n * S + start + i64(row) * W + i64(column)) * M + m) * d + c;
          const i64 to = ((n * Q + q) * M + m) * d + c;
          const double x = value.data<double>()[from], g = gy.data<double>()[to];
          r.y.data<double>()[to] += a * wv * wu * x;
          r.gvalue.data<double>()[from] += a * wv * wu * g;
          r.gweights.data<double>()[s] += wv * wu * x * g;
          r.glocations.data<double>()[2 * s] += a * g * x * wv * (column > u ? 1 : -1) * double(W);
          r.glocations.data<double>()[2 * s + 1] += a * g * x * wu * (row > v ? 1 : -1) * double(H);
        }
      }
  }
  return r;
}

struct Problem {
  Levels levels;
  Tensor value, locations, weights, gy;
};

Problem draw_problem(Random& random, i64 N, i64 Q, i64 M, i64 d, i64 L, i64 P, i64 side, DType dtype) {
  Problem p;
  i64 S = 0;
  for (i64 l = 0; l < L; ++l) {
    p.levels.push_back({random.integer(1, side), random.integer(1, side)});
    S += p.levels.back().height * p.levels.back().width;
  }
  p.value = random_tensor(random, {N, S, M, d}, dtype);
  p.locations = Tensor::empty({N, Q, M, L, P, 2}, dtype);
  random.fill_uniform(p.locations, -0.3, 1.3);
  p.weights = random_tensor(random, {N, Q, M, L, P}, dtype);
  p.gy = random_tensor(random, {N, Q, M * d}, dtype);
  return p;
}

}  // namespace

TEST_CASE("ms_deform_attn: forward and all gradients agree with the definition on random shapes") {
  Random random(1);
  const i64 sizes[] = {1, 2, 3, 4, 6, 8, 13, 16, 17, 31, 32, 48, 64, 70, 130};
  for (int draw = 0; draw < 1500; ++draw) {
    const i64 N = random.integer(1, 2), Q = random.integer(0, 4), M = random.integer(1, 4),
              d = sizes[random.integer(0, 14)];
    const i64 L = random.integer(1, 4), P = random.integer(1, random.chance(0.1) ? 20 : 5);
    const DType dtype = random.chance(0.5) ? DType::kF32 : DType::kF64;
    INFO("draw ", draw, ": N ", N, ", Q ", Q, ", heads ", M, ", d ", d, ", L ", L, ", P ", P);
    const Problem p = draw_problem(random, N, Q, M, d, L, P, 9, dtype);
    const Naive expected = naive(p.value, p.levels, p.locations, p.weights, p.gy);
    REQUIRE(difference(ops::ms_deform_attn(p.value, p.levels, p.locations, p.weights), expected.y) < tolerance(dtype));
    const ops::MsDeformAttnGradients g = ops::ms_deform_attn_backward(p.gy, p.value, p.levels, p.locations, p.weights);
    REQUIRE(difference(g.value, expected.gvalue) < tolerance(dtype));
    REQUIRE(difference(g.attention_weights, expected.gweights) < tolerance(dtype));
    REQUIRE(difference(g.sampling_locations, expected.glocations) < tolerance(dtype));
  }
}

TEST_CASE("ms_deform_attn: one head, one level, one point is sample_points") {
  Random random(2);
  const Tensor x = random_tensor(random, {1, 6, 7, 20}, DType::kF64);
  Tensor points = Tensor::empty({9, 2}, DType::kF64);
  random.fill_uniform(points, -0.1, 1.1);
  const Tensor y = ops::ms_deform_attn(x.reshape({1, 42, 1, 20}), {{6, 7}}, points.reshape({1, 9, 1, 1, 1, 2}),
                                       Tensor::full({1, 9, 1, 1, 1}, 1, DType::kF64));
  const Tensor expected = ops::sample_points(x, Tensor::zeros({9}, DType::kI64), points);
  CHECK(difference(y.reshape({9, 20}), expected) < tolerance(DType::kF64));
}

TEST_CASE("ms_deform_attn: samples at NaN, infinity or far outside get no gradient, and NaN elsewhere does not reach") {
  Random random(3);
  Problem p = draw_problem(random, 1, 3, 2, 32, 2, 4, 5, DType::kF32);
  p.value.fill(NAN);  // what is not read does not matter
  for (const double value : {double(NAN), double(INFINITY), -double(INFINITY), 1e30, -1e30}) {
    p.locations.fill(value);
    const ops::MsDeformAttnGradients g = ops::ms_deform_attn_backward(p.gy, p.value, p.levels, p.locations, p.weights);
    for (const Tensor& zero : {ops::ms_deform_attn(p.value, p.levels, p.locations, p.weights), g.value,
                               g.sampling_locations, g.attention_weights})
      for (const float element : zero.span<float>()) REQUIRE(element == 0);
  }
}

TEST_CASE("ms_deform_attn: the bits do not depend on the number of threads") {
  Random random(4);
  const Problem p = draw_problem(random, 2, 100, 3, 20, 3, 4, 12, DType::kF32);
  const auto all = [&] {
    const ops::MsDeformAttnGradients g = ops::ms_deform_attn_backward(p.gy, p.value, p.levels, p.locations, p.weights);
    return std::vector<Tensor>{ops::ms_deform_attn(p.value, p.levels, p.locations, p.weights), g.value,
                               g.sampling_locations, g.attention_weights};
  };
  check_threads(all);
}

TEST_CASE("ms_deform_attn: the backward checks its gradient's shape") {
  CHECK_ERROR(ops::ms_deform_attn_backward(Tensor::zeros({1, 5, 9}), Tensor::zeros({1, 4, 2, 4}), {{2, 2}},
                                           Tensor::zeros({1, 5, 2, 1, 3, 2}), Tensor::zeros({1, 5, 2, 1, 3})),
              "ms_deform_attn_backward: gy must be [1, 5, 8], got [1, 5, 9]");
}

}  // namespace tessera::test
