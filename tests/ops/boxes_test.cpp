// Suppression of random boxes against the definition in f32, decision by decision.
#include "ops/boxes.h"

#include <omp.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "ops/sort.h"
#include "tests/ops/compare.h"

namespace tessera::test {
namespace {

// Boxes whose corners fall on few values, so that many overlaps equal each other and the threshold.
Tensor coarse_boxes(Random& random, i64 N, i64 span, i64 size) {
  Tensor boxes = Tensor::empty({N, 4});
  const auto pick = [&](i64 below) { return std::floor(random.uniform() * static_cast<double>(below)); };
  for (i64 i = 0; i < N; ++i) {
    float* box = boxes.data<float>() + 4 * i;
    box[0] = static_cast<float>(pick(span)), box[1] = static_cast<float>(pick(span));
    box[2] = box[0] + static_cast<float>(pick(size)), box[3] = box[1] + static_cast<float>(pick(size));
  }
  return boxes;
}

// In the precision of the boxes, like the operator; double takes the threshold as it is.
std::vector<i64> naive_nms(const Tensor& boxes, const Tensor& scores, const Tensor& labels, double threshold) {
  const i64 N = boxes.dim(0);
  std::vector<i64> order(static_cast<size_t>(N)), keep;
  std::iota(order.begin(), order.end(), i64{0});
  const float *s = scores.data<float>(), *b = boxes.data<float>();
  std::stable_sort(order.begin(), order.end(), [&](i64 i, i64 j) { return s[i] > s[j]; });
  for (const i64 i : order) {
    bool gone = false;
    for (const i64 k : keep) {
      if (labels.defined() && labels.data<i64>()[k] != labels.data<i64>()[i]) continue;
      const float *p = b + 4 * i, *q = b + 4 * k;
      const float w = std::max(0.0f, std::min(p[2], q[2]) - std::max(p[0], q[0]));
      const float h = std::max(0.0f, std::min(p[3], q[3]) - std::max(p[1], q[1]));
      const float inside = w * h, both = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - inside;
      gone |= static_cast<double>(inside / both) > threshold;
    }
    if (!gone) keep.push_back(i);
  }
  return keep;
}

}  // namespace

TEST_CASE("nms: the same boxes as the definition, for thousands of random sets") {
  Random random(17);
  for (int trial = 0; trial < 3000; ++trial) {
    const i64 N = 1 + static_cast<i64>(random.uniform() * (trial % 20 == 0 ? 400 : 90));
    const Tensor boxes = coarse_boxes(random, N, 1 + trial % 23, 2 + trial % 11);
    Tensor scores = Tensor::empty({N}), labels;
    for (i64 i = 0; i < N; ++i) scores.data<float>()[i] = static_cast<float>(std::floor(random.uniform() * 50));
    if (trial % 3 == 0) {
      labels = Tensor::empty({N}, DType::kI64);
      for (i64 i = 0; i < N; ++i) labels.data<i64>()[i] = static_cast<i64>(random.uniform() * 4) - 1;
    }
    const double threshold = std::vector<double>{0, 0.1, 1.0 / 3, 0.5, 0.6, 0.7, 0.9}[static_cast<size_t>(trial % 7)];
    const Tensor keep =
        labels.defined() ? ops::batched_nms(boxes, scores, labels, threshold) : ops::nms(boxes, scores, threshold);
    const std::vector<i64> expected = naive_nms(boxes, scores, labels, threshold);
    INFO("trial ", trial, " N ", N, " threshold ", threshold);
    REQUIRE(std::ranges::equal(keep.span<i64>(), expected));
  }
}

TEST_CASE("box_iou, generalized_box_iou_loss and sort: the same bits with 1, 2, 3 and 7 threads") {
  Random random(5);
  const int threads = omp_get_max_threads();
  const Tensor a = coarse_boxes(random, 9000, 50, 20), b = coarse_boxes(random, 130, 50, 20);
  const Tensor c = coarse_boxes(random, 9000, 50, 20), x = random_tensor(random, {70, 300}, DType::kF32);
  omp_set_num_threads(1);
  const Tensor iou = ops::box_iou(a, b), giou = ops::generalized_box_iou(a, b);
  const Tensor loss = ops::generalized_box_iou_loss(a, c, 1e-7, ops::Reduction::kMean);
  const Tensor gradient = ops::generalized_box_iou_loss_backward(loss, a, c, 1e-7, ops::Reduction::kMean);
  const auto sorted = ops::sort(x, true);
  for (const int count : {2, 3, 7}) {
    omp_set_num_threads(count);
    CHECK(same_bits(ops::box_iou(a, b), iou));
    CHECK(same_bits(ops::generalized_box_iou(a, b), giou));
    CHECK(same_bits(ops::generalized_box_iou_loss(a, c, 1e-7, ops::Reduction::kMean), loss));
    CHECK(same_bits(ops::generalized_box_iou_loss_backward(loss, a, c, 1e-7, ops::Reduction::kMean), gradient));
    CHECK(same_bits(ops::sort(x, true).indices, sorted.indices));
  }
  omp_set_num_threads(threads);
}

TEST_CASE("generalized_box_iou_loss: where two edges coincide the box takes half of the gradient") {
  const Tensor box = Tensor::from(std::vector<double>{0, 0, 2, 2}, {1, 4});
  const Tensor target = Tensor::from(std::vector<double>{0, 0, 2, 1}, {1, 4});
  const Tensor one = Tensor::full({1}, 1, DType::kF64);
  const Tensor g = ops::generalized_box_iou_loss_backward(one, box, target, 0, ops::Reduction::kNone);
  // I = 2, U = 4, C = 4. Moving x1 by d: I and C change by -d / 2 and -d, U by -2 d + d / 2.
  CHECK(g.data<double>()[0] == doctest::Approx(-(-0.5 * 1 / 4.0 - 2 / 16.0 * (-1.5)) + ((-1.0 + 1.5) / 4.0)));
  CHECK(g.data<double>()[3] == doctest::Approx(0.25));  // y2 is free: I stays, U = C grow by 2: -d(2 / U) = 2 * 2 / 16
}

}  // namespace tessera::test
