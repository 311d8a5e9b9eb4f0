// conv_transpose2d without the tape: it is the transpose of conv2d, and its fast path agrees with the general one.
#include "ops/conv_transpose2d.h"

#include <omp.h>

#include "tests/ops/compare.h"

namespace tessera::test {
namespace {

double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (i64 i = 0; i < a.numel(); ++i) sum += a.data<double>()[i] * b.data<double>()[i];
  return sum;
}

}  // namespace

TEST_CASE("conv_transpose2d: <y, conv_transpose(x)> = <conv(y), x> over random shapes") {
  Random random(11);
  for (int trial = 0; trial < 400; ++trial) {
    const auto pick = [&](i64 lo, i64 hi) {
      return lo + static_cast<i64>(random.uniform() * static_cast<double>(hi - lo + 1));
    };
    const i64 groups = pick(1, 3), Ci = groups * pick(1, 9), O = pick(1, 9), stride = pick(1, 3);
    const bool tiling = trial % 2 == 0;
    const i64 Kh = tiling ? stride : pick(1, 4), Kw = tiling ? stride : pick(1, 4);
    const ops::ConvTranspose2dParams p{.stride = stride,
                                       .padding = tiling ? 0 : pick(0, std::min(Kh, Kw) - 1) / 2,
                                       .output_padding = tiling ? 0 : pick(0, stride - 1),
                                       .dilation = tiling ? 1 : pick(1, 2),
                                       .groups = groups};
    INFO("trial ", trial, " stride ", stride, " kernel ", Kh, "x", Kw, " padding ", p.padding, " groups ", groups);
    const Tensor x = random_tensor(random, {pick(1, 3), pick(1, 6), pick(1, 6), Ci}, DType::kF64);
    const Tensor w = random_tensor(random, {Ci, Kh, Kw, O}, DType::kF64);
    const Tensor y = ops::conv_transpose2d(x, w, Tensor(), p);
    const Tensor z = random_tensor(random, y.shape(), DType::kF64);
    const Tensor forth = ops::conv2d(
        z, w, Tensor(), {.stride = p.stride, .padding = p.padding, .dilation = p.dilation, .groups = p.groups});
    REQUIRE(forth.shape() == x.shape());
    CHECK(dot(y, z) == doctest::Approx(dot(forth, x)).epsilon(1e-9));
    const Tensor bias = random_tensor(random, {O * groups}, DType::kF64);
    Tensor expected = y.clone();
    for (i64 i = 0; i < y.numel(); ++i) expected.data<double>()[i] += bias.data<double>()[i % bias.numel()];
    CHECK(difference(ops::conv_transpose2d(x, w, bias, p), expected) < 1e-13);
  }
}

TEST_CASE("conv_transpose2d: the same bits with 1, 2, 3 and 7 threads") {
  Random random(5);
  const int threads = omp_get_max_threads();
  const Tensor x = random_tensor(random, {3, 13, 11, 40}, DType::kF32);
  const Tensor bias = random_tensor(random, {48}, DType::kF32);
  for (const i64 kernel : {2, 3}) {
    const Tensor w = random_tensor(random, {40, kernel, kernel, 48}, DType::kF32);
    omp_set_num_threads(1);
    const Tensor y = ops::conv_transpose2d(x, w, bias, {.stride = 2});
    for (const int count : {2, 3, 7}) {
      omp_set_num_threads(count);
      CHECK(same_bits(ops::conv_transpose2d(x, w, bias, {.stride = 2}), y));
    }
  }
  omp_set_num_threads(threads);
}

}  // namespace tessera::test
