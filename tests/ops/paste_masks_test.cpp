#include "ops/paste_masks.h"

#include <omp.h>

#include <vector>

#include "ops/grid_sample.h"
#include "tests/ops/compare.h"

namespace tessera::test {

TEST_CASE("paste_masks: a grid_sample of the whole picture gives the same pixels, sums and numbers") {
  Random random(1);
  for (int draw = 0; draw < 400; ++draw) {
    const i64 h = random.integer(1, 30), w = random.integer(1, 30), H = random.integer(1, 60),
              W = random.integer(1, 60);
    INFO("draw ", draw, ": mask ", h, " x ", w, ", picture ", H, " x ", W);
    const Tensor mask = random_tensor(random, {1, h, w}, DType::kF64);
    const double box[4] = {random.uniform(-20, 50), random.uniform(-20, 50), random.uniform(0, 80),
                           random.uniform(0, 80)};
    Tensor grid = Tensor::empty({1, H, W, 2}, DType::kF64);
    for (i64 i = 0; i < H * W; ++i) {
      grid.data<double>()[2 * i] = (double(i % W) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1;
      grid.data<double>()[2 * i + 1] = (double(i / W) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1;
    }
    const Tensor p = ops::grid_sample(mask.reshape({1, h, w, 1}), grid);
    const ops::PastedMasks pasted =
        ops::paste_masks(mask, Tensor::from(std::vector<double>(box, box + 4), {1, 4}), H, W, 0.25);
    const i64* region = pasted.regions.data<i64>();
    double sum = 0;
    i64 area = 0;
    for (i64 i = 0; i < H * W; ++i) {
      const double value = p.data<double>()[i];
      const bool within = i % W >= region[0] && i % W < region[2] && i / W >= region[1] && i / W < region[3];
      REQUIRE((within || value == 0));
      REQUIRE(pasted.masks.data<u8>()[i] == (value > 0.25));
      if (value > 0.25) sum += value, ++area;
    }
    REQUIRE(pasted.areas.data<i64>()[0] == area);
    REQUIRE(pasted.sums.data<double>()[0] == doctest::Approx(sum));
  }
}

TEST_CASE("paste_masks: a mask of ones fades out over half a cell around its box") {
  const Tensor mask = Tensor::full({1, 2, 2}, 1), box = Tensor::from(std::vector<float>{4, 4, 12, 12}, {1, 4});
  // Cells are 4 pixels wide. p is 1 up to half a cell inside the edge and 1/2 at the edge; the corner pixel (4, 4) lies
  // 1/8 cell inside both edges: 0.625 squared.
  const ops::PastedMasks half = ops::paste_masks(mask, box, 16, 16, 0.5), any = ops::paste_masks(mask, box, 16, 16, 0);
  const std::vector<i64> region(any.regions.data<i64>(), any.regions.data<i64>() + 4);
  CHECK(region == std::vector<i64>{2, 2, 14, 14});
  CHECK(any.areas.data<i64>()[0] == 144);
  CHECK(half.areas.data<i64>()[0] == 60);  // the box without its four corner pixels
  CHECK(any.sums.data<float>()[0] == doctest::Approx(64));
}

TEST_CASE("paste_masks: the bits do not depend on the number of threads") {
  Random random(2);
  const int threads = omp_get_max_threads();
  const Tensor masks = random_tensor(random, {9, 28, 28}, DType::kF32);
  Tensor boxes = Tensor::empty({9, 4});
  random.fill_uniform(boxes, 0, 100);
  omp_set_num_threads(1);
  const ops::PastedMasks one = ops::paste_masks(masks, boxes, 90, 110, 0.1);
  for (const int count : {2, 3, 7}) {
    omp_set_num_threads(count);
    const ops::PastedMasks many = ops::paste_masks(masks, boxes, 90, 110, 0.1);
    CHECK(same_bits(one.masks, many.masks));
    CHECK(same_bits(one.sums, many.sums));
    CHECK(same_bits(one.areas, many.areas));
    CHECK(same_bits(one.regions, many.regions));
  }
  omp_set_num_threads(threads);
}

}  // namespace tessera::test
