// The mask heads with a mask for every class: Mask R-CNN++, PointRend++, RefineMask++. Their values are checked by the
// goldens.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "autograd/pointwise.h"
#include "models/roi_heads/mask_rcnn.h"
#include "models/roi_heads/point_rend.h"
#include "models/roi_heads/refine_mask.h"
#include "nn/profile.h"
#include "ops/arrange.h"
#include "tests/models/small_rois.h"
#include "tests/ops/op_case.h"
#include "tests/support/check_error.h"

namespace tessera::test {

using namespace roi_heads;

namespace {

constexpr i64 kChannels = 16, kClasses = 3;

struct Kind {
  std::string name;
  i64 size;  // of the masks
  std::function<std::unique_ptr<MaskHead>(i64 channels, i64 num_classes)> make;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {{"Mask R-CNN++", 28,
                                         [](i64 channels, i64 num_classes) {
                                           Random random(5);
                                           return std::make_unique<MaskRcnn>(channels, num_classes, random);
                                         }},
                                        {"PointRend++", 224,
                                         [](i64 channels, i64 num_classes) {
                                           Random random(5);
                                           return std::make_unique<PointRend>(channels, num_classes, PointRendConfig(),
                                                                              random);
                                         }},
                                        {"RefineMask++", 112, [](i64 channels, i64 num_classes) {
                                           Random random(5);
                                           return std::make_unique<RefineMask>(channels, num_classes, random);
                                         }}};
  return all;
}

// check(name, head, size of its masks) for each head, small.
template <class Check>
void for_each_head(const Check& check) {
  for (const Kind& kind : kinds()) {
    INFO(kind.name);
    const std::unique_ptr<MaskHead> head = kind.make(kChannels, kClasses);
    check(*head, kind.size);
  }
}

SmallRois some_rois(i64 R, i64 pictures = 2) {
  SmallRois s = small_rois(R, kChannels, pictures);
  for (i64 r = 0; r < R; ++r) s.rois.classes.data<i64>()[r] = r % kClasses;
  return s;
}

// The same RoIs, those of `rows` in their order.
SmallRois reordered(const SmallRois& s, const std::vector<i64>& order) {
  const Tensor rows = Tensor::from(order);
  SmallRois other = s;
  other.rois = {Var(ops::gather_rows(s.rois.boxes.value(), rows)), Var(ops::gather_rows(s.rois.queries.value(), rows)),
                ops::gather_rows(s.rois.image, rows), ops::gather_rows(s.rois.classes, rows)};
  other.targets.object = ops::gather_rows(s.targets.object, rows);
  return other;
}

std::vector<LossTerm> losses(MaskHead& head, const SmallRois& s, const StepContext& context = {}) {
  return head.losses(s.maps, s.rois, s.targets, s.padded, context);
}

double total(const std::vector<LossTerm>& terms) {
  return Losses{terms}.total().value().item();
}

Tensor masks(MaskHead& head, const SmallRois& s) {
  return head.probabilities(s.maps, s.rois, s.padded);
}

double size_of_gradient(const Var& x) {
  const Tensor gradient = x.grad().to_host();
  double size = 0;
  for (const float g : gradient.span<float>()) size += std::abs(static_cast<double>(g));
  return size;
}

}  // namespace

TEST_CASE("class heads: the parameters of the paper's Table 4") {
  const std::vector<i64> wanted = {2906192, 3191968, 6580590};
  for (size_t i = 0; i < wanted.size(); ++i) {
    INFO(kinds()[i].name);
    CHECK(nn::count_parameters(*kinds()[i].make(256, 80)) == wanted[i]);
  }
}

TEST_CASE("class heads: the work of 97 RoIs and a P2 of 55,800 cells as the paper's Table 4 counts it, in GFLOPs") {
  const std::vector<double> wanted = {70.1, 137.5, 281.2};  // Table 4 but for the pasting
  for (size_t i = 0; i < wanted.size(); ++i) {
    INFO(kinds()[i].name);
    const std::unique_ptr<MaskHead> head = kinds()[i].make(256, 80);
    const auto work_of = [&](i64 R) {
      const SmallRois s = small_rois(R, 256, 1);
      return static_cast<double>(nn::profile(*head, [&] { masks(*head, s); })[0].work.published) * 1e-9;
    };
    const double one = work_of(1), of_roi = work_of(2) - one, of_map = one - of_roi;  // of 24 x 32 cells
    CHECK(97 * of_roi + of_map * 55800 / (24 * 32) == doctest::Approx(wanted[i]).epsilon(0.001));
  }
}

TEST_CASE("class heads: names and shapes as in the checkpoints") {
  const auto shape_of = [](MaskHead& head, const std::string& name) {
    for (const nn::StateEntry& entry : nn::state(head))
      if (entry.name == name) return nn::to_theirs(entry.tensor, entry.layout).shape();
    return Shape();
  };
  const std::unique_ptr<MaskHead> mask_rcnn = kinds()[0].make(256, 133), point_rend = kinds()[1].make(256, 80),
                                  refine_mask = kinds()[2].make(256, 133);
  CHECK(shape_of(*mask_rcnn, "qry.0.weight") == Shape{256, 256});
  CHECK(shape_of(*mask_rcnn, "fuse_qry.0.weight") == Shape{256, 512, 1, 1});
  CHECK(shape_of(*mask_rcnn, "mask_head.convs.3.conv.weight") == Shape{256, 256, 3, 3});
  CHECK(shape_of(*mask_rcnn, "mask_head.upsample.weight") == Shape{256, 256, 2, 2});
  CHECK(shape_of(*mask_rcnn, "mask_head.conv_logits.weight") == Shape{133, 256, 1, 1});  // things and stuff
  CHECK(shape_of(*point_rend, "mask_head.conv_logits.weight") == Shape{80, 256, 1, 1});
  CHECK(shape_of(*point_rend, "point_head.fcs.2.conv.weight") == Shape{256, 336, 1});
  CHECK(shape_of(*point_rend, "point_head.fc_logits.weight") == Shape{80, 336, 1});
  CHECK(shape_of(*refine_mask, "mask_head.instance_convs.1.conv.weight") == Shape{256, 256, 3, 3});
  CHECK(shape_of(*refine_mask, "mask_head.semantic_convs.3.conv.bias") == Shape{256});
  for (const i64 i : {0, 1, 2}) {
    const std::string stage = fmt::format("mask_head.stages.{}.", i);
    const i64 F = 256 >> i;
    CHECK(shape_of(*refine_mask, fmt::format("mask_head.stage_instance_logits.{}.weight", i)) == Shape{133, F, 1, 1});
    CHECK(shape_of(*refine_mask, stage + "semantic_transform_in.weight") == Shape{F, 256, 1, 1});
    CHECK(shape_of(*refine_mask, stage + "fuse_conv.0.weight") == Shape{F, 2 * F + 1, 1, 1});
    CHECK(shape_of(*refine_mask, stage + "fuse_conv.1.dilation_conv_3.conv.weight") == Shape{F, F, 3, 3});
    CHECK(shape_of(*refine_mask, stage + "fuse_conv.1.merge_conv.conv.weight") == Shape{F, F, 1, 1});
    CHECK(shape_of(*refine_mask, stage + "fuse_transform_out.weight") == Shape{F / 2 - 1, F, 1, 1});
  }
  CHECK(shape_of(*refine_mask, "mask_head.stage_instance_logits.3.weight") == Shape{1, 32, 1, 1});
}

TEST_CASE("class heads: every parameter and every map that is read receives a finite gradient that is not 0") {
  for_each_head([](MaskHead& head, i64) {
    const SmallRois s = some_rois(6);
    Losses{losses(head, s)}.total().backward();
    for (const auto& [name, parameter] : nn::named_parameters(head)) {
      INFO(name);
      REQUIRE(parameter->grad().defined());
      CHECK(std::isfinite(size_of_gradient(*parameter)));
      CHECK(size_of_gradient(*parameter) > 0);
    }
    CHECK(size_of_gradient(s.maps[0]) > 0);
    CHECK(size_of_gradient(s.rois.queries) > 0);
    CHECK(!s.rois.boxes.grad().defined());  // boxes are where a head looks: they learn nothing from it
  });
}

TEST_CASE("class heads: without a match the losses and all gradients are 0; without a RoI there are no masks") {
  for_each_head([](MaskHead& head, i64 size) {
    const SmallRois none = some_rois(0);
    const std::vector<LossTerm> terms = losses(head, none);
    for (const LossTerm& term : terms) CHECK(term.value.value().item() == 0);
    Losses{terms}.total().backward();
    for (const auto& [name, parameter] : nn::named_parameters(head)) {
      INFO(name);
      REQUIRE(parameter->grad().defined());
      CHECK(size_of_gradient(*parameter) == 0);
    }
    CHECK(masks(head, none).shape() == Shape{0, size, size});
  });
}

TEST_CASE("class heads: a mask depends neither on the order of the RoIs nor on which there are besides") {
  for_each_head([](MaskHead& head, i64 size) {
    const SmallRois s = some_rois(5);
    const std::vector<i64> order = {3, 0, 4, 2, 1};
    const Tensor all = masks(head, s);
    CHECK(all.shape() == Shape{5, size, size});
    CHECK(difference(masks(head, reordered(s, order)), ops::gather_rows(all, Tensor::from(order))) < 1e-5);
    CHECK(difference(masks(head, reordered(s, {3})), all.rows(3, 4)) < 1e-5);
    CHECK(std::ranges::all_of(all.span<float>(), [](float p) { return p >= 0 && p <= 1; }));
  });
}

TEST_CASE("class heads: a RoI's mask is that of its class") {
  for_each_head([](MaskHead& head, i64) {
    SmallRois s = some_rois(2);
    const Tensor before = masks(head, s);
    s.rois.classes.data<i64>()[0] = 2;
    const Tensor after = masks(head, s);
    CHECK(difference(after.rows(0, 1), before.rows(0, 1)) > 1e-3);
    CHECK(difference(after.rows(1, 2), before.rows(1, 2)) < 1e-5);
  });
}

TEST_CASE("class heads: the loss of a batch is the sum of those of its pictures, at whatever place they are") {
  for_each_head([](MaskHead& head, i64 size) {
    if (size == 112) return;  // RefineMask's is a mean over all RoIs, times their number
    SmallRois s = some_rois(6);
    const StepContext context{.step = 7, .epoch = 0.5, .seed = 3};
    const double together = total(losses(head, s, context));
    double apart = 0;
    for (const std::vector<i64>& picture : {std::vector<i64>{0, 2, 4}, std::vector<i64>{1, 3, 5}}) {
      SmallRois one = reordered(s, picture);
      one.targets.matches = 3;
      const i64 n = one.rois.image.data<i64>()[0];
      for (Var& map : one.maps) map = Var(map.value().rows(n, n + 1));
      one.rois.image.fill(0);
      apart += total(losses(head, one, context));
    }
    CHECK(together == doctest::Approx(apart).epsilon(1e-5));
  });
}

TEST_CASE("class heads: a part of the RoIs stands for all matches") {
  for_each_head([](MaskHead& head, i64) {
    SmallRois s = some_rois(4);
    const double own = total(losses(head, s));
    s.targets.matches = 10;
    CHECK(total(losses(head, s)) == doctest::Approx(own * 10 / 4));
  });
}

TEST_CASE("class heads: other devices compute what the CPU does, and in bf16 f32 losses near it") {
  for (const Device device : registered_devices()) {
    if (device.kind == DeviceKind::kCpu) continue;
    for_each_head([&](MaskHead& head, i64) {
      const SmallRois s = some_rois(3);
      const auto run = [&](const SmallRois& given) {
        head.zero_grad();
        const std::vector<LossTerm> terms = losses(head, given);
        std::vector<Tensor> results;
        for (const LossTerm& term : terms) results.push_back(term.value.value().to_host());
        Losses{terms}.total().backward();
        for (const auto& [name, parameter] : nn::named_parameters(head)) results.push_back(parameter->grad().to_host());
        return results;
      };
      const Tensor p = masks(head, s);
      const std::vector<Tensor> here = run(s);
      head.to(device);
      CHECK(difference(masks(head, on(s, device, DType::kF32)).to_host(), p) < 1e-4);
      const std::vector<Tensor> there = run(on(s, device, DType::kF32)), narrow = run(on(s, device, DType::kBF16));
      for (size_t i = 0; i < here.size(); ++i) {
        CHECK(difference(there[i], here[i]) < 1e-3);  // ReLUs switch
        CHECK(narrow[i].dtype() == DType::kF32);
        if (here[i].rank() == 0) CHECK(difference(narrow[i], here[i]) < 0.03);
      }
    });
  }
}

TEST_CASE("class heads: targets are cells of which at least half is in the object; boxes end with the picture") {
  Tensor mask = Tensor::zeros({1, 4, 4, 1});
  for (const i64 pixel : {0, 1, 2, 4, 5, 8, 15}) mask.data<float>()[pixel] = 1;
  const RoiTargets targets{mask, Tensor::zeros({2}, DType::kI64), 2};
  const Tensor boxes = Tensor::from(std::vector<float>{0, 0, 4, 4, -50, 0, 4, 70}, {2, 4});
  const Tensor cells = cell_targets(targets, boxes, 2);
  for (const i64 r : {0, 1})  // quarters of 4, 1, 1 and 1 pixels
    CHECK(std::ranges::equal(cells.rows(r, r + 1).span<float>(), std::vector<float>{1, 0, 0, 0}));
  mask.data<float>()[3] = 1;  // upper right: now 2 of 4
  CHECK(cell_targets(targets, boxes, 2).data<float>()[1] == 1);
}

}  // namespace tessera::test
