// The parts of EffSeg's stages: which cells are chosen, what they learn, children, places; and the paper's toy example.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/effseg/layers.h"
#include "models/effseg/selection.h"
#include "models/effseg/targets.h"
#include "tests/ops/compare.h"
#include "tests/ops/sps_structures.h"
#include "tests/support/check_error.h"

namespace tessera::test {

using namespace effseg;

namespace {

// One grid of 2 x 2 cells, all active, with these logits.
StageLogits four_cells(const std::vector<float>& seg, const std::vector<float>& ref = {0, 0, 0, 0}) {
  const Tensor zero = Tensor::zeros({1}, DType::kI64);
  return {ops::sps_dense(2, zero, zero), Var(Tensor::from(seg)), Var(Tensor::from(ref))};
}

std::vector<int> chosen(const HeadConfig& config, const StageLogits& logits, const std::vector<float>& boundary = {}) {
  const Tensor edge = boundary.empty() ? Tensor() : Tensor::from(boundary, {1, 2, 2, 1});
  const Tensor mask = choose_cells(config, logits, edge);
  if (!mask) return {};
  return {mask.span<u8>().begin(), mask.span<u8>().end()};
}

std::vector<float> values(const Tensor& x) {
  return {x.span<float>().begin(), x.span<float>().end()};
}

}  // namespace

// Figure 2: a grid of 3 x 3 cells, four of them active (0 to 3), the others covered by three passive features (4 to 6);
// 7 pads.
TEST_CASE("effseg: the paper's toy example of an index map and its neighbours") {
  const Tensor map = Tensor::from(std::vector<i64>{4, 0, 6, 5, 1, 6, 5, 2, 3}, {1, 3, 3});
  const Tensor cells =
      Tensor::from(std::vector<i64>{0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 2, 0, 0, 0, 2, 2, 0, 0}, {4, 5});
  const ops::SpsStructure toy{map, cells, 3};
  const std::vector<i32> wanted = {7, 7, 7, 4, 0, 6, 5, 1, 6, 4, 0, 6, 5, 1, 6, 5, 2, 3,
                                   5, 1, 6, 5, 2, 3, 7, 7, 7, 1, 6, 7, 2, 3, 7, 7, 7, 7};
  const Tensor ids = ops::sps_neighbours(toy, 1).ids;
  CHECK(std::ranges::equal(ids.span<i32>(), wanted));

  // The features change for the active cells alone: their sums over the neighbours, with 1, 2, 4 .. for features 0, 1,
  // 2 ..
  std::vector<float> powers;
  for (int i = 0; i < 7; ++i) powers.push_back(static_cast<float>(1 << i));
  const Tensor active = Tensor::from(std::vector<float>(powers.begin(), powers.begin() + 4), {4, 1});
  const Tensor passive = Tensor::from(std::vector<float>(powers.begin() + 4, powers.end()), {3, 1});
  const Tensor y = ops::sps_conv2d(ops::sps_neighbours(toy, 1), active, passive, Tensor::full({1, 9}, 1), {});
  for (i64 a = 0; a < 4; ++a) {
    float sum = 0;
    for (i64 t = 0; t < 9; ++t)
      if (const i32 id = wanted[static_cast<size_t>(9 * a + t)]; id < 7) sum += powers[static_cast<size_t>(id)];
    CHECK(y.data<float>()[a] == sum);
  }
  CHECK(toy.passive == 3);
}

TEST_CASE("effseg: cells are refined by their refinement logit, or where the mask is least sure") {
  const StageLogits logits = four_cells({3, -0.5, 1, -4}, {0.1F, -2, 5, 0.2F});
  CHECK(chosen({.refinements = 2}, logits) == std::vector<int>{0, 0, 1, 1});
  CHECK(chosen({.refinements = 2, .refine = Refine::kUncertainty}, logits) == std::vector<int>{0, 1, 1, 0});
  CHECK(chosen({.refinements = 4}, logits).empty());  // all
  CHECK(chosen({.processing = Processing::kDenseSfm, .refinements = 1}, logits).empty());
}

TEST_CASE("effseg: of the cells at the boundary the least sure are refined, and no others when there are fewer") {
  const StageLogits logits = four_cells({3, -0.5, 1, -4});
  HeadConfig config{.refinements = 2, .refine = Refine::kBoundary};
  CHECK(chosen(config, logits, {1, 0, 1, 1}) == std::vector<int>{1, 0, 1, 0});
  CHECK(chosen(config, logits, {0, 0, 0, 1}) == std::vector<int>{0, 0, 0, 1});
  CHECK(chosen(config, logits, {0, 0, 0, 0}) == std::vector<int>{0, 0, 0, 0});
  config.refinements = 9;
  CHECK(chosen(config, logits, {1, 1, 0, 1}) == std::vector<int>{1, 1, 0, 1});
}

TEST_CASE("effseg: a mask is the one before at twice its size, overwritten where a stage has logits") {
  const StageLogits first = four_cells({1, 2, 3, 4});
  const Tensor small = refined_mask({}, first);
  CHECK(values(small) == std::vector<float>{1, 2, 3, 4});
  Tensor keep = Tensor::zeros({4}, DType::kU8);
  keep.data<u8>()[3] = 1;  // the cell at the lower right
  const ops::SpsStructure finer = ops::sps_upsample(ops::sps_select(first.structure, keep).structure);
  const Tensor mask = refined_mask(small, {finer, Var(Tensor::from(std::vector<float>{-1, -2, -3, -4})), Var()});
  CHECK(values(mask) == std::vector<float>{1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, -1, -2, 3, 3.25, -3, -4});
}

TEST_CASE("effseg: what a cell learns, by the part of it in the object or by its centre") {
  const ops::SpsStructure cells = four_cells({0, 0, 0, 0}).structure;
  Tensor mask = Tensor::zeros({1, 8, 8, 1});  // a box of 8 x 8, cells of 4 x 4
  const auto fill = [&](i64 x0, i64 y0, i64 x1, i64 y1, float value) {
    for (i64 y = y0; y < y1; ++y)
      for (i64 x = x0; x < x1; ++x) mask.data<float>()[y * 8 + x] = value;
  };
  fill(0, 0, 4, 4, 1);  // cell 0 wholly
  fill(5, 1, 7, 3, 1);  // of cell 1 its middle
  fill(0, 4, 4, 8, 1);  // of cell 2 all but its middle
  fill(1, 5, 3, 7, 0);
  const Tensor crop = Tensor::from(std::vector<float>{1 - 1e-7F, 0.25, 0.75, 0}, {1, 2, 2, 1});
  const roi_heads::RoiTargets targets{mask, Tensor::zeros({1}, DType::kI64), 1};
  const Tensor box = Tensor::from(std::vector<float>{0, 0, 8, 8}, {1, 4});
  const StageTargets code = stage_targets({}, cells, crop, targets, box);
  CHECK(values(code.seg) == std::vector<float>{1, 0, 1, 0});
  CHECK(values(code.ref) == std::vector<float>{0, 1, 1, 0});
  const StageTargets paper = stage_targets({.target_rule = TargetRule::kCenter}, cells, crop, targets, box);
  CHECK(values(paper.seg) == std::vector<float>{1, 1, 0, 0});
  CHECK(values(paper.ref) == values(code.ref));
  // Without a margin the rounding of a full cell's mean decides.
  CHECK(values(stage_targets({.ref_eps = 0}, cells, crop, targets, box).ref) == std::vector<float>{1, 1, 1, 0});
  // Half of a cell is not more than half of it.
  CHECK(values(above(Tensor::from(std::vector<float>{0.5, 0.50001F, 0.49F}), 0.5)) == std::vector<float>{0, 1, 0});
}

TEST_CASE("effseg: the centre of a cell lies in its box, as a part of the picture") {
  const ops::SpsStructure cells = four_cells({0, 0, 0, 0}).structure;
  const Tensor box = Tensor::from(std::vector<float>{10, 20, 30, 60}, {1, 4});
  const Tensor centres = cell_centres(cells, Var(box), {.height = 100, .width = 50}).value();
  const std::vector<float> wanted = {0.3F, 0.3F, 0.5F, 0.3F, 0.3F, 0.5F, 0.5F, 0.5F};
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(centres.span<float>()[i] == doctest::Approx(wanted[i]));
}

TEST_CASE("effseg: children have what their parent has plus a step of their own") {
  Random random(5);
  const Var parents(random_tensor(random, {3, 8}, DType::kF32));
  for (const bool separate : {false, true}) {
    INFO(separate);
    ChildMlp mlp(8, separate, random);
    CHECK(nn::count_parameters(mlp) == 8 * 32 + 32 + (separate ? 4 : 1) * (64 + 8));
    const Tensor before = mlp(parents).value();
    CHECK(before.shape() == Shape{12, 8});
    // The last layer alone moves a child away: child c of all parents when the layers are separate, else all.
    for (auto& [name, parameter] : nn::named_parameters(mlp))
      if (name == (separate ? "3.2.bias" : "3.bias")) parameter->value() = tessera::add_scalar(*parameter, 1).value();
    const Tensor after = mlp(parents).value();
    for (i64 row = 0; row < 12; ++row) {
      const float moved = after.data<float>()[row * 8] - before.data<float>()[row * 8];
      CHECK(moved == doctest::Approx(!separate || row % 4 == 2 ? 1 : 0));
    }
  }
}

TEST_CASE("effseg: position encoding is sine and cosine of the column, then of the row, by rising periods") {
  const Tensor e = position_encoding(14, 8);  // periods 1 and 100
  const auto at = [&](i64 y, i64 x, i64 c) { return static_cast<double>(e.data<float>()[(y * 14 + x) * 8 + c]); };
  const double pi = std::acos(-1.0), u = 2 * pi * 3.5 / 14, v = 2 * pi * 10.5 / 14;
  CHECK(at(10, 3, 0) == doctest::Approx(std::sin(u)));
  CHECK(at(10, 3, 1) == doctest::Approx(std::sin(u / 100)));
  CHECK(at(10, 3, 2) == doctest::Approx(std::cos(u)));
  CHECK(at(10, 3, 4) == doctest::Approx(std::sin(v)));
  CHECK(at(10, 3, 7) == doctest::Approx(std::cos(v / 100)));
  CHECK_ERROR(position_encoding(14, 6), "6 channels are not a multiple of 4");
}

}  // namespace tessera::test
