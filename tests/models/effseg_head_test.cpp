// EffSeg's mask head as a whole: parameters and names, gradients, edges. Its values are checked by the goldens.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/arrange.h"
#include "models/effseg/head.h"
#include "ops/arrange.h"
#include "tests/cuda/other_device.h"
#include "tests/models/small_rois.h"
#include "tests/support/check_error.h"

namespace tessera::test {

using namespace effseg;

namespace {

constexpr i64 kChannels = 64;  // 8 in the last stage: with fewer a layer may have no live ReLU

EffSegHead small_head(HeadConfig config = {}, i64 k = 40, i64 channels = kChannels) {
  Random random(7);
  config.refinements = k;
  config.fcn_layers = 1;
  return EffSegHead(config, channels, random);
}

i64 published_parameters(const HeadConfig& config) {
  Random random(1);
  EffSegHead head(config, 256, random);
  return nn::count_parameters(head);
}

Var total(EffSegHead& head, const SmallRois& s) {
  return Losses{head.losses(s.maps, s.rois, s.targets, s.padded, {})}.total();
}

// Sum of |g|; NaN without a gradient.
double size_of_gradient(const Var& x) {
  if (!x.grad()) return NAN;
  const Tensor gradient = x.grad().to_host().to(DType::kF32);
  double size = 0;
  for (const float g : gradient.span<float>()) size += std::abs(static_cast<double>(g));
  return size;
}

std::vector<std::pair<std::string, HeadConfig>> variants() {
  std::vector<std::pair<std::string, HeadConfig>> all;
  for (const auto& [name, processing] : names_of(Processing{})) all.push_back({name, {.processing = processing}});
  for (const auto& [name, refine] : names_of(Refine{})) all.push_back({name, {.refine = refine}});
  all.push_back({"uncertainty with a ref_loss", {.refine = Refine::kUncertainty, .ref_loss = true}});
  all.push_back({"project_maps", {.project_maps = true}});
  all.push_back({"no position_encoding", {.position_encoding = false}});
  all.push_back({"separate_child_mlps", {.separate_child_mlps = true}});
  all.push_back({"center", {.target_rule = TargetRule::kCenter}});
  return all;
}

}  // namespace

TEST_CASE("effseg head: the parameters of the published heads") {
  CHECK(published_parameters({}) == 4'208'872);
  CHECK(published_parameters({.processing = Processing::kConv}) == 3'929'768);
  CHECK(published_parameters({.processing = Processing::kDeformConv}) == 3'933'854);
  CHECK(published_parameters({.processing = Processing::kMlp}) == 3'757'736);
  CHECK(published_parameters({.processing = Processing::kDenseSfm, .project_maps = true}) == 4'208'872 + 86'464);
  CHECK(published_parameters({.refine = Refine::kUncertainty}) == 4'120'868);
  CHECK(published_parameters({.refine = Refine::kBoundary, .ref_loss = true}) == 4'208'872);
}

TEST_CASE("effseg head: names as in the checkpoints") {
  EffSegHead head = small_head({.project_maps = true});
  std::string names;
  for (const auto& [name, parameter] : nn::named_parameters(head))
    if (name.ends_with(".weight")) names += name.substr(0, name.size() - 7) + " ";
  std::string wanted = "qry.0 fuse_qry.0 fuse_qry.2 roi_ins.0.conv ";
  for (const char* branch : {"seg", "ref"})
    for (int s = 0; s < 4; ++s) wanted += fmt::format("{0}.{1}.0 {0}.{1}.2 ", branch, s);
  for (int i = 0; i < 3; ++i)
    wanted += fmt::format(
        "fuse_td.{0}.0 fuse_td.{0}.3 key_2d.{0} fuse_key.{0}.0 fuse_key.{0}.2 trans.{0}.0 proc.{0}.0 "
        "proc.{0}.2.sub_modules.0.0 proc.{0}.2.sub_modules.1.0 proc.{0}.2.sub_modules.2.0 proc.{0}.3 proc.{0}.5 ",
        i);
  CHECK(names == wanted);
}

TEST_CASE(
    "effseg head: every parameter of every variant, maps, queries and boxes get a finite gradient that is not 0") {
  for (const auto& [variant, config] : variants()) {
    INFO(variant);
    const SmallRois s = small_rois(5, kChannels);
    EffSegHead head = small_head(config);
    total(head, s).backward();
    const auto check = [](const std::string& name, const Var& x) {
      INFO(name);
      CHECK(std::isfinite(size_of_gradient(x)));
      CHECK(size_of_gradient(x) > 0);
    };
    for (const auto& [name, parameter] : nn::named_parameters(head)) check(name, *parameter);
    for (size_t l = 0; l < 3; ++l) check("maps", s.maps[l]);
    check("queries", s.rois.queries);
    check("boxes", s.rois.boxes);
  }
}

TEST_CASE("effseg head: the dense head is the sparse one that refines all cells, at odd widths, too") {
  for (const i64 channels : {64, 24}) {  // 8 and 3 in the last stage
    const SmallRois one = small_rois(2, channels), two = small_rois(2, channels);
    EffSegHead dense = small_head({.processing = Processing::kDenseSfm, .project_maps = true}, 1, channels);
    EffSegHead sparse = small_head({.project_maps = true}, 1 << 30, channels);
    CHECK(difference(dense.probabilities(one.maps, one.rois, one.padded),
                     sparse.probabilities(two.maps, two.rois, two.padded)) < 1e-5);
    const Var a = total(dense, one), b = total(sparse, two);
    CHECK(a.value().item() == doctest::Approx(b.value().item()).epsilon(1e-5));
    a.backward();
    b.backward();
    const auto other = nn::named_parameters(sparse);
    for (size_t i = 0; const auto& [name, parameter] : nn::named_parameters(dense)) {
      INFO(name);
      CHECK(name == other[i].first);
      CHECK(difference(parameter->grad(), other[i++].second->grad()) < 1e-3);
    }
    CHECK(difference(one.rois.boxes.grad(), two.rois.boxes.grad()) < 1e-3);
  }
}

TEST_CASE("effseg head: sampling positions hold the boxes' gradient, unless they are detached") {
  const SmallRois s = small_rois(4, kChannels);
  EffSegHead head = small_head({.detach_sample_boxes = true});
  total(head, s).backward();
  CHECK(!s.rois.boxes.grad());
}

TEST_CASE("effseg head: the order of the RoIs does not matter") {
  const SmallRois s = small_rois(6, kChannels);
  EffSegHead head = small_head();
  const Tensor rows = Tensor::from(std::vector<i64>{4, 1, 5, 0, 3, 2});
  const roi_heads::Rois moved{gather_rows(s.rois.boxes, rows), gather_rows(s.rois.queries, rows),
                              ops::gather_rows(s.rois.image, rows), s.rois.classes};
  const Tensor straight = head.probabilities(s.maps, s.rois, s.padded).reshape({6, 112 * 112});
  const Tensor turned = head.probabilities(s.maps, moved, s.padded).reshape({6, 112 * 112});
  CHECK(difference(turned, ops::gather_rows(straight, rows)) < 1e-5);
  SmallRois other = s;
  other.rois = moved;
  other.targets.object = ops::gather_rows(s.targets.object, rows);
  CHECK(total(head, other).value().item() == doctest::Approx(total(head, s).value().item()).epsilon(1e-5));
}

TEST_CASE("effseg head: the loss grows with the matches that the RoIs stand for") {
  SmallRois s = small_rois(4, kChannels);
  EffSegHead head = small_head();
  const double of_four = total(head, s).value().item();
  s.targets.matches = 12;
  CHECK(total(head, s).value().item() == doctest::Approx(3 * of_four).epsilon(1e-5));
}

TEST_CASE("effseg head: without a RoI the losses are 0, every parameter has a gradient of 0, and there is no mask") {
  for (const auto& [variant, config] : variants()) {
    INFO(variant);
    const SmallRois s = small_rois(0, kChannels);
    EffSegHead head = small_head(config);
    CHECK(head.probabilities(s.maps, s.rois, s.padded).shape() == Shape{0, 112, 112});
    const Var loss = total(head, s);
    CHECK(loss.value().item() == 0);
    loss.backward();
    for (const auto& [name, parameter] : nn::named_parameters(head)) {
      INFO(name);
      CHECK(size_of_gradient(*parameter) == 0);
    }
  }
}

TEST_CASE("effseg head: one RoI, and 300 of three pictures") {
  EffSegHead head = small_head();
  const SmallRois one = small_rois(1, kChannels, 1), many = small_rois(300, kChannels, 3);
  CHECK(head.probabilities(one.maps, one.rois, one.padded).shape() == Shape{1, 112, 112});
  const Tensor p = head.probabilities(many.maps, many.rois, many.padded);
  CHECK(p.shape() == Shape{300, 112, 112});
  for (const float value : p.span<float>()) {
    if (value >= 0 && value <= 1) continue;
    FAIL_CHECK(value);
    break;
  }
  CHECK(std::isfinite(total(head, one).value().item()));
}

TEST_CASE("effseg head: boxes outside the picture, without area and inverted train and give masks") {
  SmallRois s = small_rois(5, kChannels);
  const std::vector<float> odd = {200, 200, 260, 240, -90, -90, -50,   -60,   30,   30,
                                  30,  70,  60,  50,  20,  10,  -1e8F, -1e8F, 1e8F, 1e8F};
  s.rois.boxes.value().copy_from(Tensor::from(odd, {5, 4}));
  EffSegHead head = small_head();
  const Var loss = total(head, s);
  CHECK(std::isfinite(loss.value().item()));
  loss.backward();
  CHECK(std::isfinite(size_of_gradient(s.rois.boxes)));
  for (const auto& [name, parameter] : nn::named_parameters(head)) {
    INFO(name);
    CHECK(std::isfinite(size_of_gradient(*parameter)));
  }
  const Tensor probabilities = head.probabilities(s.maps, s.rois, s.padded);
  for (const float value : probabilities.span<float>())
    if (!std::isfinite(value)) FAIL_CHECK(value);
}

TEST_CASE("effseg head: at the boundary only those cells are refined, perhaps none") {
  // With no cell of the first mask above 0, and objects that lie elsewhere, there is no boundary.
  const SmallRois s = small_rois(3, kChannels);
  EffSegHead head = small_head({.refine = Refine::kBoundary}, 10000);
  for (auto& [name, parameter] : nn::named_parameters(head))
    if (name == "seg.0.2.bias") parameter->value().fill(-1000);
  const std::vector<StageLogits> stages = head.forward(s.maps, s.rois, s.padded);
  CHECK(stages[0].structure.active() == 3 * 196);
  for (size_t i = 1; i < kStages; ++i) CHECK(stages[i].structure.active() == 0);
  const Tensor probabilities = head.probabilities(s.maps, s.rois, s.padded);
  for (const float p : probabilities.span<float>())
    if (p != 0) FAIL_CHECK(p);
  // In training the objects' boundaries count as well.
  const Var loss = total(head, s);
  CHECK(std::isfinite(loss.value().item()));
  loss.backward();
  for (const auto& [name, parameter] : nn::named_parameters(head)) CHECK(size_of_gradient(*parameter) > 0);
}

TEST_CASE("effseg head: k cells at most are refined in each stage, and their share of the area falls") {
  const SmallRois s = small_rois(4, kChannels);
  const EffSegHead head = small_head({}, 300);
  const std::vector<StageLogits> stages = head.forward(s.maps, s.rois, s.padded);
  for (size_t i = 1; i < kStages; ++i) {
    CHECK(stages[i].structure.active() == 1200);
    CHECK(stages[i].structure.size() == kFirstSize << i);
  }
}

TEST_CASE("effseg head: another device computes the same, and in bf16 a loss in f32 near it, with gradients for all") {
  const std::optional<Device> device = other_device();
  if (!device) return;
  const SmallRois s = small_rois(2, kChannels), there = on(s, *device, DType::kF32);
  const SmallRois narrow = on(s, *device, DType::kBF16);
  for (const Processing processing : {Processing::kSfm, Processing::kDeformConv}) {
    EffSegHead head = small_head({.processing = processing});
    const double here = total(head, s).value().item();
    head.to(*device);
    CHECK(total(head, there).value().item() == doctest::Approx(here).epsilon(kNearCpu));
    const Var loss = total(head, narrow);
    CHECK(loss.value().dtype() == DType::kF32);
    CHECK(loss.value().item() == doctest::Approx(here).epsilon(0.03));
    loss.backward();
    for (const auto& [name, parameter] : nn::named_parameters(head)) {
      INFO(name);
      CHECK(parameter->grad().dtype() == DType::kF32);
      CHECK(size_of_gradient(*parameter) > 0);
    }
  }
}

TEST_CASE("effseg head: settings that cannot be are refused") {
  Random random(1);
  CHECK_ERROR(EffSegHead({}, 20, random), "the maps have 20 channels; each of three stages halves them");
  CHECK_ERROR(EffSegHead({.refinements = 0}, 32, random), "effseg head: refinements must be at least 1, got 0");
  CHECK_ERROR(EffSegHead({.ref_eps = 0.5}, 32, random), "ref_eps must be");
}

TEST_CASE("effseg head: a few steps lower the loss") {
  const SmallRois s = small_rois(4, kChannels);
  EffSegHead head = small_head();
  double first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    head.zero_grad();
    const Var loss = total(head, s);
    (step == 0 ? first : last) = loss.value().item();
    loss.backward();
    for (const auto& [name, parameter] : nn::named_parameters(head))
      for (i64 i = 0; i < parameter->value().numel(); ++i)
        parameter->value().data<float>()[i] -= 0.03F * parameter->grad().data<float>()[i];
  }
  CHECK(last < 0.9 * first);
}

}  // namespace tessera::test
