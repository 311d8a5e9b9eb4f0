// The golden results of SparseInst: a network whose parameters, images and targets are generated from their names, in
// f64, with what every stage, the matching, the losses, the gradients, the post-processing and five optimiser steps
// gave.
//
// Metadata of a file: config.{decoder, backbone, prefix, size, size2, orig, targets, lr, wd, steps} as JSON,
// gain_rules, shape.<key> and, where only flat[::stride] is stored, stride.<key>. noise.<key> tells what f32 rounding
// does to the tensor: [max |f32 - f64|, rms, max |value|].
#include <cmath>
#include <map>

#include "autograd/pointwise.h"
#include "models/sparseinst/criterion.h"
#include "models/sparseinst/inference.h"
#include "models/sparseinst/sparseinst.h"
#include "nn/intermediates.h"
#include "ops/optimizer.h"
#include "ops/pointwise.h"
#include "tests/goldens/module_golden.h"
#include "tests/goldens/sparseinst_setup.h"
#include "tests/models/enlarged_mask.h"

namespace tessera::goldens {

using namespace sparseinst;

namespace {

// Largest allowed error relative to the largest value of the tensor. Where rounding alone does more (a ReLU or a
// maximum that decides the other way), a small multiple of the measured rounding.
constexpr double kForward = 1e-4, kGradient = 1e-3, kNoiseFactor = 20;
// In bf16, whose roundings are 2^16 times f32's: half of what these made of the tensor, since sums stay f32.
constexpr double kBF16NoiseFactor = 0x1p15;

// [N, H, W, C] -> [N, C, H, W]
Tensor to_nchw(const Tensor& x) {
  return nn::to_theirs(x, nn::Layout::kConvOIHW);
}

class SparseInstGolden {
 public:
  SparseInstGolden(const SafeTensors& file, Report& report)
      : file_(file), setup_(file), report_(report), title_(file.path().stem().string()) {}

  int run() {
    model_ = setup_.model(report_.weights);
    for (auto& [name, parameter] : nn::named_parameters(*model_))
      move_slightly(parameter->value(), name, report_.attempt);
    model_->to(report_.device());
    if (report_.dtype == DType::kBF16) {
      check_in_bf16();
      return cases_;
    }
    check_single();
    check_batch();
    check_single_terms();
    check_training();
    return cases_;
  }

 private:
  Var images_of(const Batch& batch) const { return Var(setup_.images(batch).to(report_.device())); }

  // Compares one tensor, in the reference's layout, with the stored one.
  void compare(const std::string& key, const Tensor& got, double limit) {
    if (!file_.contains(key)) return;
    ++cases_;
    const std::string name = title_ + "/" + key;
    std::string shape;
    for (const i64 size : got.shape()) shape += fmt::format("{}{}", shape.empty() ? "" : "x", size);
    if (shape != setup_.text("shape." + key))
      return report_.fail(name, fmt::format("the shape is {}, not {}", shape, setup_.text("shape." + key)));
    const auto stride = file_.metadata().find("stride." + key);
    const i64 step = stride == file_.metadata().end() ? 1 : std::stoll(stride->second);
    const Tensor& want = file_[key];
    const Tensor host = got.to(DType::kF32).to_host();
    Tensor sampled = Tensor::empty(want.shape());
    TESSERA_CHECK((want.numel() - 1) * step < host.numel(), "{}: {} holds too many values", title_, key);
    for (i64 i = 0; i < want.numel(); ++i) sampled.data<float>()[i] = host.data<float>()[i * step];

    double tolerance = limit;
    if (file_.contains("noise." + key)) {
      const float* noise = file_["noise." + key].data<float>();  // maximum error, rms, largest value
      const double factor = report_.dtype == DType::kBF16 ? kBF16NoiseFactor : kNoiseFactor;
      if (noise[2] > 0) tolerance = std::max(tolerance, factor * noise[0] / noise[2]);
    }
    report_.check(name, relative_error(sampled, want), tolerance, limit == kGradient ? kGradientDiffers : "");
  }

  void compare_integers(const std::string& key, const std::vector<i64>& got) {
    ++cases_;
    const std::span<const i64> want = file_[key].span<i64>();
    const std::string name = title_ + "/" + key;
    if (std::ranges::equal(got, want))
      report_.ok(name, 0);
    else
      report_.fail(name, fmt::format("[{}], expected [{}]", fmt::join(got, " "), fmt::join(want, " ")));
  }

  void compare_stages(const std::string& prefix, const nn::Intermediates& intermediates) {
    for (const char* key : {"stem", "c2", "c3", "c4", "c5", "ppm", "p5", "p4", "p3", "encoder", "inst_features_map",
                            "iam_logits", "mask_features"})
      compare(prefix + key, to_nchw(intermediates.at(key)), kForward);
    for (const char* key : {"iam_pooled", "inst_vectors", "mask_kernel", "pred_logits", "pred_scores", "pred_masks"})
      compare(prefix + key, intermediates.at(key), kForward);
  }

  // The stages of a forward pass that was fused for bf16.
  void check_in_bf16() {
    nn::fuse_for_inference(*model_, {.dtype = report_.dtype});
    const NoGrad no_grad;
    for (const bool all : {false, true}) {
      const nn::Intermediates intermediates;
      model_->forward(Var(images_of(setup_.batch(all ? setup_.sizes() : std::vector{setup_.sizes()[0]}, false))
                              .value()
                              .to(report_.dtype)));
      compare_stages(all ? "batch." : "single.", intermediates);
    }
  }

  void check_single() {
    const NoGrad no_grad;
    const Var images = images_of(setup_.batch({setup_.sizes()[0]}, false));
    compare("single.input", to_nchw(images.value()), 0);
    const nn::Intermediates intermediates;
    model_->forward(images);
    compare_stages("single.", intermediates);
    if (intermediates.contains("offset"))
      compare("single.c5_last_offset", to_nchw(intermediates.at("offset")), kForward);
  }

  // Of one picture: its queries, and its targets counted from its first.
  struct Pairs {
    std::vector<i64> queries, targets;
  };
  struct Evaluation {
    Output output;
    MaskTargets targets;
    Matches matches;
    std::vector<LossTerm> terms;

    std::vector<Pairs> pairs() const {
      const Tensor queries = matches.queries.to_host(), rows = matches.targets.to_host();
      const i64 Q = output.masks.dim(1);
      std::vector<Pairs> pictures(targets.first.size() - 1);
      for (i64 p = 0; p < queries.numel(); ++p) {
        const i64 query = queries.data<i64>()[p], n = query / Q;
        pictures[static_cast<size_t>(n)].queries.push_back(query % Q);
        pictures[static_cast<size_t>(n)].targets.push_back(rows.data<i64>()[p] - targets.first[static_cast<size_t>(n)]);
      }
      return pictures;
    }
  };
  Evaluation evaluate(const Batch& batch) {
    Evaluation e;
    e.output = model_->forward(images_of(batch));
    e.targets = make_targets(batch, e.output.masks.dim(2), e.output.masks.dim(3), model_->config().num_classes,
                             report_.device());
    e.matches = match(e.output, e.targets, model_->config().matcher);
    e.terms = loss_terms(e.output, e.targets, e.matches, model_->config().loss);
    return e;
  }

  static Var total(const std::vector<LossTerm>& terms) {
    Var sum = terms[0].value;
    for (size_t i = 1; i < terms.size(); ++i) sum = sum + terms[i].value;
    return sum;
  }

  void check_batch() {
    const Batch batch = setup_.batch(setup_.sizes(), true);
    const nn::Intermediates intermediates;
    const Evaluation e = evaluate(batch);
    compare_stages("batch.", intermediates);
    const i64 T = e.targets.count(), h = e.output.masks.dim(2), w = e.output.masks.dim(3);
    compare("batch.target.maps", e.targets.maps.reshape({T, h, w}), 1e-6);
    const std::vector<Pairs> matches = e.pairs();
    for (size_t k = 0; k < matches.size(); ++k) {
      const std::string key = fmt::format("batch.match.{}.", k);
      compare(key + "score", matching_scores(e.output, e.targets, static_cast<i64>(k), model_->config().matcher),
              kForward);
      compare_integers(key + "pred", matches[k].queries);
      compare_integers(key + "target", matches[k].targets);
    }
    check_ious(e);
    for (const LossTerm& term : e.terms) compare("batch." + term.name, term.value.value().reshape({1}), kForward);
    const Var loss = total(e.terms);
    compare("batch.loss_total", loss.value().reshape({1}), kForward);
    check_postprocessing(e.output, batch);

    model_->zero_grad();
    loss.backward();
    compare_gradients("grad.");
    std::vector<float> norms;
    for (const auto& [name, parameter] : nn::named_parameters(*model_)) {
      double square = 0;
      if (parameter->grad()) {
        const Tensor gradient = parameter->grad().to_host();
        for (const float g : gradient.span<float>()) square += static_cast<double>(g) * g;
      }
      norms.push_back(static_cast<float>(std::sqrt(square)));
    }
    compare("grad.l2_all", Tensor::from(norms), kGradient);
  }

  // A pixel within 1e-4 of the threshold may fall on either side and moves the IoU by about 1 / union.
  void check_ious(const Evaluation& e) {
    const Tensor got = matched_ious(e.output, e.targets, e.matches).to_host(), maps = e.targets.maps.to_host();
    const Tensor& want = file_["batch.match.iou"];
    const i64* uncertain = file_["batch.match.iou_uncertain"].data<i64>();
    double worst = got.shape() == want.shape() ? 0 : INFINITY, allowed = 1e-5;
    const Tensor targets = e.matches.targets.to_host();
    for (i64 p = 0; p < targets.numel() && worst == 0; ++p) {
      const std::span<const float> map = maps.span<float>().subspan(
          static_cast<size_t>(targets.data<i64>()[p] * maps.dim(1)), static_cast<size_t>(maps.dim(1)));
      const double area = static_cast<double>(std::ranges::count_if(map, [](float t) { return t > 0.5f; }));
      allowed = std::max(allowed, 2 * static_cast<double>(uncertain[p]) / std::max(area, 1.0));
    }
    for (i64 i = 0; i < got.numel() && worst < INFINITY; ++i)
      worst = std::max(worst, std::abs(static_cast<double>(got.data<float>()[i]) - want.data<float>()[i]));
    ++cases_;
    report_.check(title_ + "/batch.match.iou", worst, allowed);
  }

  void compare_gradients(const std::string& prefix) {
    for (const nn::StateEntry& entry : nn::state(*model_)) {
      if (!entry.parameter || !file_.contains(prefix + entry.name)) continue;
      const Tensor& gradient = entry.parameter->grad();
      if (gradient) {
        compare(prefix + entry.name, nn::to_theirs(gradient, entry.layout), kGradient);
      } else {
        ++cases_;
        report_.fail(title_ + "/" + prefix + entry.name, "no gradient arrived");
      }
    }
  }

  // The gradient of every loss term alone.
  void check_single_terms() {
    const Batch batch = setup_.batch(setup_.sizes(), true);
    for (size_t i = 0; i < 4; ++i) {
      const std::vector<LossTerm> terms = evaluate(batch).terms;
      model_->zero_grad();
      terms[i].value.backward();
      compare_gradients(fmt::format("grad_term.{}.", terms[i].name));
    }
    model_->zero_grad();
  }

  void check_postprocessing(const Output& output, const Batch& batch) {
    for (const char* tag : {"post", "post_thr"}) {
      InferenceConfig inference;
      if (std::string(tag) == "post_thr") inference.score_threshold = std::stod(setup_.text("post_thr.threshold"));
      for (i64 k = 0; k < batch.size(); ++k) check_picture(tag, k, output, batch, inference);
    }
  }

  void check_picture(const std::string& tag, i64 k, const Output& output, const Batch& batch,
                     const InferenceConfig& inference) {
    const std::string prefix = fmt::format("{}.{}.", tag, k);
    const auto part = [k](const Var& x) { return x.value().rows(k, k + 1); };
    const Logits logits{part(output.logits), part(output.objectness), part(output.masks)};
    const ImageSize original = setup_.originals().at(static_cast<size_t>(k)),
                    map{logits.masks.dim(2), logits.masks.dim(3)};
    const MaskResampler resampler(map, batch.padded, batch.size_of(k), original, report_.device());
    const std::vector<Instance> kept = find_instances(logits, {resampler}, inference).at(0);
    std::vector<i64> queries, labels;
    std::vector<float> scores;
    for (const Instance& instance : kept) {
      queries.push_back(instance.query);
      labels.push_back(instance.class_index);
      scores.push_back(static_cast<float>(instance.score));
    }
    compare_integers(prefix + "kept", queries);
    compare_integers(prefix + "label", labels);
    compare(prefix + "score", Tensor::from(scores), kForward);
    check_areas(prefix, k, kept);

    Tensor probabilities = Tensor::empty({static_cast<i64>(kept.size()), original.height, original.width});
    float* place = probabilities.data<float>();
    const Tensor small = ops::sigmoid(logits.masks).to_host().reshape({logits.masks.dim(1), map.height, map.width});
    for (const i64 query : queries)
      place = std::ranges::copy(test::enlarged(small.rows(query, query + 1), resampler).span<float>(), place).out;
    compare(prefix + "mask_prob", probabilities, kForward);
  }

  // Areas may differ by the pixels that lie within 1e-4 of the threshold.
  void check_areas(const std::string& prefix, i64 k, const std::vector<Instance>& kept) {
    const std::span<const i64> want = file_[prefix + "area"].span<i64>();
    const std::span<const i64> all = file_[fmt::format("post.{}.kept", k)].span<i64>();
    const i64* uncertain = file_[fmt::format("post.{}.area_uncertain", k)].data<i64>();
    double worst = want.size() == kept.size() ? 0 : INFINITY;
    for (size_t i = 0; i < kept.size() && worst < INFINITY; ++i) {
      const i64 area = rle_area(kept[i].mask);
      const auto at = std::ranges::find(all, kept[i].query);
      const i64 allowed = at == all.end() ? 0 : uncertain[at - all.begin()];
      worst = std::max(worst, static_cast<double>(std::abs(area - want[i]) - allowed));
    }
    ++cases_;
    report_.check(title_ + "/" + prefix + "area", worst, 0, "pixels beyond the uncertain ones");
  }

  // AdamW on the same batch; losses and matching before each step and after the last.
  void check_training() {
    const i64 steps = setup_.config("steps");
    ops::AdamWParams adamw{.lr = setup_.config("lr"), .weight_decay = setup_.config("wd")};
    struct Moments {
      Tensor m, v;
    };
    std::map<std::string, Moments> moments;
    const Batch batch = setup_.batch(setup_.sizes(), true);
    std::vector<float> losses;
    std::vector<i64> assignments;
    for (i64 step = 0; step <= steps; ++step) {
      const Evaluation e = evaluate(batch);
      for (const LossTerm& term : e.terms) losses.push_back(static_cast<float>(term.value.value().item()));
      for (const Pairs& pairs : e.pairs()) {
        assignments.insert(assignments.end(), pairs.queries.begin(), pairs.queries.end());
        assignments.insert(assignments.end(), pairs.targets.begin(), pairs.targets.end());
      }
      if (step == steps) break;
      model_->zero_grad();
      total(e.terms).backward();
      adamw.step = step + 1;
      std::vector<ops::AdamWUpdate> updates;
      for (auto& [name, parameter] : nn::named_parameters(*model_)) {
        const Tensor& value = parameter->value();
        Moments& state = moments[name];
        if (step == 0)
          state = {Tensor::zeros(value.shape(), value.dtype(), value.device()),
                   Tensor::zeros(value.shape(), value.dtype(), value.device())};
        if (parameter->grad()) updates.push_back({value, parameter->grad(), state.m, state.v, adamw});
      }
      ops::adamw_step(updates);
    }
    compare("train.losses", Tensor::from(losses).reshape({steps + 1, 4}), kGradient);
    compare_integers("train.assign", assignments);
    for (const nn::StateEntry& entry : nn::state(*model_))
      if (entry.parameter)
        compare("train.param_after." + entry.name, nn::to_theirs(entry.parameter->value(), entry.layout), kGradient);
  }

  const SafeTensors& file_;
  SparseInstSetup setup_;
  Report& report_;
  std::string title_;
  std::unique_ptr<SparseInst> model_;
  int cases_ = 0;
};

const bool kAdded =
    add_network({"SparseInst",
                 [](const SafeTensors& file) {
                   return file.metadata().contains("config.decoder") && file.metadata().contains("gain_rules");
                 },
                 check_with<SparseInstGolden>, true});

}  // namespace

}  // namespace tessera::goldens
