// The detector as a whole: parameters, names, gradients, batches of every kind.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "nn/init.h"
#include "tests/models/tiny_fqdet.h"
#include "tests/support/check_error.h"

using namespace tessera;
using namespace tessera::fqdet;

namespace {

bool has_value(const Tensor& x) {
  return std::ranges::any_of(x.span<float>(), [](float v) { return v != 0; });
}
bool is_finite(const Tensor& x) {
  return std::ranges::all_of(x.span<float>(), [](float v) { return std::isfinite(v); });
}

// The parameters of a head alone, on levels P_first .. P7.
i64 head_parameters(Config config, i64 first) {
  std::vector<FeatureLevel> levels;
  for (i64 k = first; k <= 7; ++k) levels.push_back({256, i64{1} << k});
  Random random(1);
  Head head(config, levels, random);
  return nn::count_parameters(head);
}

// All anchors become queries, so that every kind of anchor is among them.
Config all_anchors(Config config) {
  config.queries = 100'000;
  return config;
}

std::vector<float> values(const Var& x) {
  const auto span = x.value().span<float>();
  return {span.begin(), span.end()};
}

}  // namespace

TEST_CASE("fqdet: the head has the published number of parameters in every form") {
  CHECK(head_parameters({}, 2) == 6'843'966);
  CHECK(head_parameters({}, 3) == 6'806'958);
  Config release;
  release.form = Form::kRelease;
  release.decoder.hidden = 2048;
  CHECK(head_parameters(release, 2) == 9'860'926);
  Config scored = release;
  scored.box_score = true;
  CHECK(head_parameters(scored, 2) - head_parameters(release, 2) == 198'145);
}

TEST_CASE("fqdet: the whole detector of ResNet-50 and FPN P3 .. P7 trains 33.9 million, FQDetV2 37.9 million") {
  const auto trainable = [](Config config) {
    config.neck.first_level = 3;
    Random random(1);
    FQDet model(config, random);
    return nn::count_parameters(model, true);
  };
  CHECK(trainable({}) == 23'232'512 + 3'868'672 + 6'806'958);
  Config v2;
  v2.form = Form::kRelease;
  v2.box_score = true;
  v2.decoder.hidden = 2048;
  v2.anchors.ratios = {0.125, 0.25, 0.5, 1, 2, 4, 8};
  CHECK(trainable(v2) / 100'000 == 379);
}

TEST_CASE("fqdet: parameters have the names of the authors' checkpoints") {
  const auto names_of_model = [](const Config& config) {
    const auto model = test::tiny_fqdet(config);
    std::vector<std::string> names;
    for (const nn::StateEntry& entry : nn::state(*model)) names.push_back(entry.name);
    return names;
  };
  const auto check = [](const std::vector<std::string>& names, const std::vector<std::string>& expected) {
    for (const std::string& name : expected) {
      CAPTURE(name);
      CHECK(std::ranges::find(names, name) != names.end());
    }
  };
  const auto paper = names_of_model(test::tiny_fqdet_config());
  check(paper, {"backbone.body.conv1.weight",
                "backbone.body.layer1.0.conv1.weight",
                "core.body.lateral_convs.0.conv.weight",
                "core.body.fpn_convs.4.conv.bias",
                "heads.gvd.group_init_sel.logits.pre.0.norm.weight",
                "heads.gvd.group_init_sel.logits.pre.0.conv.bias",
                "heads.gvd.group_init_sel.logits.pre.1.proj.conv.weight",
                "heads.gvd.group_init_sel.logits.pre.1.bottle.norm.bias",
                "heads.gvd.group_init_sel.logits.pre.1.expansion.conv.weight",
                "heads.gvd.group_init_sel.logits.proj.conv.bias",
                "heads.gvd.group_init_sel.post.0.module_list.2.norm.weight",
                "heads.gvd.group_init_sel.post.0.module_list.2.lin.bias",
                "heads.gvd.group_init_sel.box_encoder.0.weight",
                "heads.gvd.group_init_sel.box_encoder.1.lin.weight",
                "heads.gvd.dec_layers.1.0.attn.norm.weight",
                "heads.gvd.dec_layers.1.0.attn.msda.sampling_offsets.bias",
                "heads.gvd.dec_layers.1.0.attn.msda.attn_weights.weight",
                "heads.gvd.dec_layers.1.0.attn.msda.val_proj.weight",
                "heads.gvd.dec_layers.1.0.attn.msda.out_proj.weight",
                "heads.gvd.dec_layers.1.1.norm.bias",
                "heads.gvd.dec_layers.1.1.mha.in_proj_weight",
                "heads.gvd.dec_layers.1.1.mha.out_proj.bias",
                "heads.gvd.dec_layers.1.2.mlp1.norm.weight",
                "heads.gvd.dec_layers.1.2.mlp1.lin.weight",
                "heads.gvd.dec_layers.1.2.mlp2.lin.bias",
                "heads.gvd.heads.0.logits.0.norm.weight",
                "heads.gvd.heads.0.logits.1.lin.weight",
                "heads.gvd.heads.1.logits.2.bias"});
  const auto release = names_of_model(test::tiny_release_config());
  check(release, {"heads.gvd.heads.0.logits.weight", "heads.gvd.heads.1.logits.1.bias",
                  "heads.gvd.heads.1.logits.6.weight", "heads.gvd.heads.1.box_score.4.weight"});
  CHECK(std::ranges::find(release, "heads.gvd.group_init_sel.box_encoder.0.weight") == release.end());
}

TEST_CASE("fqdet: initial weights are the reference's where it has rules of its own") {
  const auto model = test::tiny_fqdet();
  for (const auto& [name, parameter] : nn::named_parameters(*model)) {
    const std::vector<float> x = values(*parameter);
    CAPTURE(name);
    if (name.ends_with("logits.proj.conv.bias")) CHECK(x[0] == doctest::Approx(-std::log(99.0)));
    if (name.ends_with("in_proj_bias") || name.ends_with("mha.out_proj.bias") ||
        name.ends_with("sampling_offsets.weight"))
      CHECK(!has_value(parameter->value()));
  }
}

TEST_CASE("fqdet: every parameter of both forms receives a finite gradient that is not zero") {
  const Batch batch = test::rectangles({3, 2});
  for (const Config& config : {all_anchors(test::tiny_fqdet_config()), all_anchors(test::tiny_release_config())}) {
    const auto model = test::tiny_fqdet(config);
    Random random(5);
    for (auto& [name, parameter] :
         nn::named_parameters(*model))  // at 0 they let nothing through to the norm before them
      if (name.ends_with("sampling_offsets.weight") || name.ends_with("attn_weights.weight"))
        nn::init_uniform(*parameter, 0.1, random);
    const Losses losses = model->losses(batch, {});
    CHECK(losses.terms.size() == (config.box_score ? 4 : 3));
    losses.total().backward();
    for (const auto& [name, parameter] : nn::named_parameters(*model)) {
      CAPTURE(name);
      REQUIRE(parameter->grad().defined());
      CHECK(is_finite(parameter->grad()));
      CHECK(has_value(parameter->grad()));
    }
  }
}

TEST_CASE("fqdet: with a normalisation of one channel per group, the biases in front of it learn nothing") {
  Config config = test::tiny_fqdet_config();
  config.neck.channels = 32;
  const auto model = test::tiny_fqdet(config);
  model->losses(test::rectangles({1}), {}).total().backward();
  for (const auto& [name, parameter] : nn::named_parameters(*model)) {
    if (!name.ends_with("pre.1.proj.conv.bias") && !name.ends_with("pre.1.bottle.conv.bias")) continue;
    CAPTURE(name);
    for (const float g : parameter->grad().span<float>()) CHECK(std::abs(g) < 1e-3f);
  }
}

TEST_CASE("fqdet: pictures without objects train the selection and the classes; all other gradients are zeros") {
  for (const Config& config : {test::tiny_fqdet_config(), test::tiny_release_config()}) {
    const auto model = test::tiny_fqdet(config);
    const Losses losses = model->losses(test::rectangles({0, 0}), {});
    for (const LossTerm& term : losses.terms) {
      CAPTURE(term.name);
      const double value = term.value.value().item();
      if (term.name == "loss_sel" || term.name == "loss_cls")
        CHECK(value > 0);
      else
        CHECK(value == 0);
    }
    losses.total().backward();
    for (const auto& [name, parameter] : nn::named_parameters(*model)) {
      CAPTURE(name);
      REQUIRE(parameter->grad().defined());
      CHECK(is_finite(parameter->grad()));
      if (name.find("heads.1.") != std::string::npos) CHECK(!has_value(parameter->grad()));
    }
  }
}

TEST_CASE("fqdet: an empty picture beside a crowded one, and more objects than queries") {
  Config config = test::tiny_fqdet_config();
  config.queries = 5;
  for (const i64 queries : {5, 60}) {
    config.queries = queries;
    const Losses losses = test::tiny_fqdet(config)->losses(test::rectangles({0, 20, 1}), {});
    for (const LossTerm& term : losses.terms) CHECK(std::isfinite(term.value.value().item()));
  }
}

TEST_CASE("fqdet: where there are fewer anchors than queries and ranks, all of them are taken") {
  Config config = all_anchors(test::tiny_fqdet_config());
  config.anchors = {.sizes = 1, .ratios = {1}};
  config.matching.query_ranks = 1000;
  Random random(1);
  Detector detector(config, random);
  const Batch batch = test::rectangles({2});
  const GroundTruth truth = detector.ground_truth(batch);
  const Output output = detector.forward(Var(Tensor::zeros({1, 64, 64, 3})), batch);
  CHECK(output.selected.dim(1) == 16 * 16 + 8 * 8 + 4 * 4 + 2 * 2 + 1);
  CHECK(output.selection.dim(1) == output.selected.dim(1));
  Matches matches;
  CHECK(std::isfinite(detector.losses(output, truth, matches)[0].value.value().item()));
  CHECK(matches.count() == output.selected.dim(1));  // every anchor has a rank
}

TEST_CASE("fqdet: the same seed gives the same losses and gradients, another seed others") {
  const Batch batch = test::rectangles({2, 1});
  const auto run = [&](u64 seed) {
    return test::loss_and_gradients(*make_model(test::tiny_fqdet_config(), seed), batch);
  };
  const std::vector<float> first = run(1);
  CHECK(first == run(1));
  CHECK(first != run(2));
}

TEST_CASE("fqdet: a few steps of gradient descent on one batch lower the loss") {
  for (const Config& config : {test::tiny_fqdet_config(), test::tiny_release_config()})
    CHECK(test::loss_left_after_descent(*test::tiny_fqdet(config)) < 0.8);
}

TEST_CASE("fqdet: detection answers for every picture in its own size") {
  for (Config config : {test::tiny_fqdet_config(), test::tiny_release_config()}) {
    config.inference.detections = 7;
    const auto model = test::tiny_fqdet(config);
    CHECK(!model->has_masks());
    CHECK(model->object_limit()->objects == 7);
    model->eval();
    Batch batch = test::rectangles({1, 2});
    batch.samples[1].original = {90, 120};
    const Detections found = model->detect(batch);
    REQUIRE(found.size() == 2);
    for (const auto& [image, size] : {std::pair<size_t, ImageSize>{0, {64, 64}}, {1, {90, 120}}}) {
      CHECK(!found[image].empty());
      CHECK(found[image].size() <= 7);
      for (const Instance& instance : found[image]) {
        CHECK(!instance.has_mask());
        CHECK(instance.class_index >= 0);
        CHECK(instance.class_index < 3);
        CHECK(instance.query < 60);
        CHECK(instance.box[0] >= 0);
        CHECK(instance.box[0] + instance.box[2] <= static_cast<double>(size.width) + 1e-6);
        CHECK(instance.box[1] + instance.box[3] <= static_cast<double>(size.height) + 1e-6);
      }
      CHECK(std::ranges::is_sorted(found[image], std::ranges::greater(), &Instance::score));
    }
  }
}

TEST_CASE("fqdet: wrong settings are errors, and so are weights that are not finite") {
  const auto changed = [](auto&& change) {
    return [=] {
      Config config = test::tiny_fqdet_config();
      change(config);
      test::tiny_fqdet(config);
    };
  };
  CHECK_ERROR(changed([](Config& c) { c.neck.channels = 48; })(), "neck.channels must be a multiple of 32");
  CHECK_ERROR(changed([](Config& c) { c.anchors.ratios = {}; })(), "anchors.ratios is empty");
  CHECK_ERROR(changed([](Config& c) { c.anchors.ratios = {-1}; })(), "anchors.ratios must be above 0, got -1");
  CHECK_ERROR(changed([](Config& c) { c.decoder.heads = 5; })(), "cannot be split into 5 heads");
  CHECK_ERROR(changed([](Config& c) { c.queries = 0; })(), "queries must be at least 1");
  Config config = test::tiny_fqdet_config();
  config.num_classes = 2;
  CHECK_ERROR(test::tiny_fqdet(config)->losses(test::rectangles({3}), {}), "class 2, the model has 2");

  const auto model = test::tiny_fqdet();
  for (auto& [name, parameter] : nn::named_parameters(*model))
    if (name.ends_with("logits.proj.conv.bias")) parameter->value().fill(NAN);
  Batch batch = test::rectangles({1});
  batch.samples[0].file = "street.jpg";
  CHECK_ERROR(model->losses(batch, {}), "what the network makes of street.jpg is not finite");
  batch.samples[0].file.clear();
  CHECK_ERROR(model->detect(batch),
              fmt::format("what the network makes of image {} is not", batch.samples[0].image_id));
}
