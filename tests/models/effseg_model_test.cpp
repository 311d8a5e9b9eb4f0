// EffSeg as a whole, with each of its heads: parameters, gradients, batches of every kind, what it finds.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "models/model.h"
#include "nn/init.h"
#include "tests/models/tiny_effseg.h"
#include "tests/support/check_error.h"

namespace tessera::test {

using namespace effseg;

namespace {

double largest(const Tensor& x) {
  double most = 0;
  for (const float value : x.span<float>()) {
    if (!std::isfinite(value)) return INFINITY;
    most = std::max(most, std::abs(static_cast<double>(value)));
  }
  return most;
}

// Every anchor is a query: objects have matches for certain.
Config all_anchors(HeadKind kind) {
  Config config = tiny_effseg_config(kind);
  config.queries = 100'000;
  return config;
}

double mask_loss(EffSeg& model, const Batch& batch, const StepContext& context = {}) {
  double sum = 0;
  for (const LossTerm& term : model.losses(batch, context).terms)
    if (term.name == "loss_seg" || term.name == "loss_ref") sum += term.value.value().item();
  return sum;
}

// The pictures of a batch, each a batch of its own of the same padded size.
Batch only(const Batch& batch, size_t picture) {
  Batch one = batch;
  one.samples = {batch.samples[picture]};
  return one;
}

}  // namespace

TEST_CASE("effseg: the head's parameters stand behind those of the detector's heads") {
  const auto model = tiny_effseg();
  std::set<std::string> names;
  for (const nn::StateEntry& entry : nn::state(*model)) CHECK(names.insert(entry.name).second);
  for (const char* name :
       {"backbone.body.conv1.weight", "core.body.fpn_convs.0.conv.weight", "heads.gvd.heads.1.logits.2.bias",
        "heads.gvd.heads.2.qry.0.weight", "heads.gvd.heads.2.roi_ins.0.conv.bias", "heads.gvd.heads.2.proc.2.5.weight"})
    CHECK(names.contains(name));
}

TEST_CASE("effseg: every parameter of the network with every head gets a finite gradient that is not 0") {
  const Batch batch = rectangles({3, 2});
  for (const auto& [name, kind] : names_of(HeadKind{})) {
    INFO(name);
    const auto model = tiny_effseg(all_anchors(kind));
    Random random(5);
    for (auto& [parameter_name, parameter] : nn::named_parameters(*model))  // at 0 nothing comes through
      if (parameter_name.ends_with("sampling_offsets.weight") || parameter_name.ends_with("attn_weights.weight"))
        nn::init_uniform(*parameter, 0.1, random);
    model->losses(batch, {}).total().backward();
    for (const auto& [parameter_name, parameter] : nn::named_parameters(*model)) {
      INFO(parameter_name);
      REQUIRE(parameter->grad().defined());
      CHECK(std::isfinite(largest(parameter->grad())));
      CHECK(largest(parameter->grad()) > 0);
    }
  }
}

TEST_CASE("effseg: without objects the masks' losses are 0, and the head's gradients are 0, not absent") {
  for (const auto& [name, kind] : names_of(HeadKind{})) {
    INFO(name);
    const auto model = tiny_effseg(tiny_effseg_config(kind));
    const Losses losses = model->losses(rectangles({0, 0}), {});
    for (const LossTerm& term : losses.terms)
      if (term.name.starts_with("loss_seg") || term.name.starts_with("loss_mask"))
        CHECK(term.value.value().item() == 0);
    losses.total().backward();
    for (const auto& [parameter_name, parameter] : nn::named_parameters(*model)) {
      INFO(parameter_name);
      REQUIRE(parameter->grad().defined());
      if (parameter_name.starts_with("heads.gvd.heads.2.")) CHECK(largest(parameter->grad()) == 0);
    }
  }
}

TEST_CASE("effseg: an empty picture beside a full one changes nothing of its masks' losses") {
  const auto model = tiny_effseg(all_anchors(HeadKind::kEffSeg));
  model->eval();  // fixed statistics: pictures do not see each other
  const Batch both = rectangles({3, 0});
  CHECK(mask_loss(*model, both) == doctest::Approx(mask_loss(*model, only(both, 0))).epsilon(1e-4));
}

TEST_CASE("effseg: pictures in groups of one learn as each of them alone") {
  Config config = all_anchors(HeadKind::kEffSeg);
  const auto together = tiny_effseg(config);
  config.head.group = 1;
  const auto apart = tiny_effseg(config);
  together->eval();
  apart->eval();
  const Batch batch = rectangles({3, 1});
  const double alone = (mask_loss(*together, only(batch, 0)) + mask_loss(*together, only(batch, 1))) / 2;
  CHECK(mask_loss(*apart, batch) == doctest::Approx(alone).epsilon(1e-4));
  CHECK(mask_loss(*together, batch) != doctest::Approx(alone).epsilon(1e-4));  // they share k and the mean

  const auto total = [](EffSeg& model, const Batch& pictures) {
    return model.losses(pictures, {}).total().value().item();
  };
  const double mean = (total(*together, only(batch, 0)) + total(*together, only(batch, 1))) / 2;
  CHECK(total(*apart, batch) == doctest::Approx(mean).epsilon(1e-4));
}

TEST_CASE("effseg: RoIs that are drawn stand for all, and depend on the step and the picture alone") {
  Config config = all_anchors(HeadKind::kEffSeg);
  const auto all = tiny_effseg(config);
  config.head.max_train_rois = 4;
  const auto some = tiny_effseg(config);
  all->eval();
  some->eval();
  const Batch batch = rectangles({3, 2});
  const double loss = mask_loss(*some, batch);
  CHECK(loss == mask_loss(*some, batch));
  CHECK(loss == doctest::Approx(mask_loss(*all, batch)).epsilon(0.2));
  CHECK(loss != mask_loss(*some, batch, {.step = 1}));
}

TEST_CASE("effseg: what it finds has a mask and the detector's box, each with its score") {
  for (const auto& [name, kind] : names_of(HeadKind{})) {
    INFO(name);
    const auto model = tiny_effseg(tiny_effseg_config(kind));
    model->eval();
    Batch batch = rectangles({2, 1});
    batch.samples[1].original = {100, 90};
    const Detections found = model->detect(batch);
    REQUIRE(found.size() == 2);
    for (size_t n = 0; n < 2; ++n) {
      CHECK(found[n].size() > 10);
      CHECK(found[n].size() <= 100);
      for (const Instance& instance : found[n]) {
        CHECK(instance.mask.height == batch.samples[n].original.height);
        CHECK(instance.mask.width == batch.samples[n].original.width);
        check_rle(instance.mask);
        CHECK(instance.score <= instance.box_score);
        CHECK((instance.score > 0) == (rle_area(instance.mask) > 0));
        CHECK(instance.box[0] + instance.box[2] <= static_cast<double>(instance.mask.width) + 1e-6);
        CHECK(instance.query < 60);
      }
    }
    // A head without classes gives a query one mask, whatever it is taken for.
    if (kind == HeadKind::kEffSeg)
      for (const Instance& a : found[0])
        for (const Instance& b : found[0])
          if (a.query == b.query) CHECK(a.mask == b.mask);
  }
}

TEST_CASE("effseg: a batch finds what its pictures find alone") {
  const auto model = tiny_effseg();
  model->eval();
  const Batch batch = rectangles({2, 3});
  const Detections both = model->detect(batch);
  for (size_t n = 0; n < 2; ++n) {
    const Detections alone = model->detect(only(batch, n));
    REQUIRE(alone[0].size() == both[n].size());
    for (size_t i = 0; i < alone[0].size(); ++i) {
      CHECK(alone[0][i].query == both[n][i].query);
      CHECK(alone[0][i].score == doctest::Approx(both[n][i].score).epsilon(1e-4));
    }
  }
}

TEST_CASE("effseg: it learns a batch") {
  const auto model = tiny_effseg();
  const Batch batch = rectangles({2, 1});
  double first = 0, last = 0;
  for (int step = 0; step < 8; ++step) {
    model->zero_grad();
    const Var loss = model->losses(batch, {}).total();
    (step == 0 ? first : last) = loss.value().item();
    loss.backward();
    for (const auto& [name, parameter] : nn::named_parameters(*model))
      for (i64 i = 0; i < parameter->value().numel(); ++i)
        parameter->value().data<float>()[i] -= 2e-4F * parameter->grad().data<float>()[i];
  }
  CHECK(last < 0.9 * first);
}

TEST_CASE("effseg: a configuration names the family, and a pyramid without P2 is refused") {
  ModelConfig config;
  REQUIRE(config.choose("effseg"));
  std::get<Config>(config.network) = tiny_effseg_config();
  CHECK(make_model(config, 3)->has_masks());
  Config wrong = tiny_effseg_config();
  wrong.neck.first_level = 3;
  Random random(1);
  CHECK_ERROR(EffSeg(wrong, random), "effseg: mask heads read P2 to P5, neck.first_level is 3; make it 2");
}

}  // namespace tessera::test
