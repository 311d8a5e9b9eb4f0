// Results do not depend on the number of threads: the sums of these operators have a fixed order.
#include <doctest/doctest.h>
#include <omp.h>

#include <cstring>

#include "autograd/interpolate.h"
#include "autograd/losses.h"
#include "autograd/norm.h"
#include "autograd/pool.h"
#include "tensor/random.h"

namespace tessera::test {

namespace {

Tensor random_tensor(const Shape& shape, u64 stream) {
  Tensor tensor = Tensor::empty(shape);
  Random(5, stream).fill_normal(tensor, 0, 2);
  return tensor;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// f(x) and its gradients with 1 and with 3 threads.
template <class F>
void check_threads(const Tensor& x, F&& f) {
  const int before = omp_get_max_threads();
  std::vector<Tensor> values, gradients;
  for (const int threads : {1, 3}) {
    omp_set_num_threads(threads);
    const Var leaf(x, true);
    const Var y = f(leaf);
    y.backward(random_tensor(y.shape(), 2));
    values.push_back(y.value());
    gradients.push_back(leaf.grad());
  }
  omp_set_num_threads(before);
  CHECK(same_bits(values[0], values[1]));
  CHECK(same_bits(gradients[0], gradients[1]));
}

}  // namespace

TEST_CASE("ops: one and three threads give the same bits") {
  const Tensor maps = random_tensor({3, 61, 45, 6}, 1);
  const Tensor targets = Tensor::full(maps.shape(), 0.25);
  SUBCASE("batch_norm") {
    const Var weight(Tensor::full({6}, 1.5), true), bias(Tensor::zeros({6}), true);
    Tensor mean = Tensor::zeros({6}), var = Tensor::full({6}, 1);
    check_threads(maps, [&](const Var& x) { return batch_norm(x, weight, bias, mean, var, true, 0.1, 1e-5); });
  }
  SUBCASE("max_pool2d") {
    check_threads(maps, [](const Var& x) { return max_pool2d(x, {3, 2, 1}); });
  }
  SUBCASE("avg_pool2d") {
    check_threads(maps, [](const Var& x) { return avg_pool2d(x, {3, 2, 1}); });
  }
  SUBCASE("interpolate") {
    check_threads(maps, [](const Var& x) { return interpolate(x, 100, 31, ops::Interpolation::kBilinear); });
  }
  SUBCASE("binary_cross_entropy_with_logits") {
    check_threads(maps, [&](const Var& x) { return binary_cross_entropy_with_logits(x, targets, Reduction::kMean); });
  }
  SUBCASE("sigmoid_focal_loss") {
    check_threads(maps, [&](const Var& x) { return sigmoid_focal_loss(x, targets, 0.25, 2, Reduction::kSum); });
  }
  SUBCASE("dice_loss") {
    check_threads(maps, [&](const Var& x) { return dice_loss(x, targets, 1e-4, Reduction::kSum); });
  }
}

}  // namespace tessera::test
