// The golden results of SparseInst: a network whose parameters, images and targets are generated from their names, in
// f64, with what every stage, the matching, the losses, the gradients, the post-processing and five optimiser steps
// gave.
//
// Metadata of a file: config.{decoder, backbone, prefix, size, size2, orig, targets, lr, wd, steps} as JSON,
// gain_rules, shape.<key> and, where only flat[::stride] is stored, stride.<key>. noise.<key> tells what f32 rounding
// does to the tensor: [max |f32 - f64|, rms, max |value|].
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "autograd/pointwise.h"
#include "models/sparseinst/criterion.h"
#include "models/sparseinst/inference.h"
#include "models/sparseinst/sparseinst.h"
#include "ops/optimizer.h"
#include "tests/goldens/fill.h"
#include "tests/goldens/network_goldens.h"

namespace tessera::goldens {

namespace {

using Json = nlohmann::json;

// Largest allowed error relative to the largest value of the tensor. Where rounding alone does more (a ReLU or a
// maximum that decides the other way), a small multiple of the measured rounding.
constexpr double kForward = 1e-4, kGradient = 1e-3, kNoiseFactor = 20;

ImageSize size_from(const Json& pair) {
  return {pair.at(0).get<i64>(), pair.at(1).get<i64>()};
}

i64 round_up(i64 value, i64 multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// What a name says about the values of the parameter: (2u - 1) bound for weights, and so on.
float parameter_value(const std::string& name, bool is_norm, const Shape& shape, const Json& gain_rules, double u) {
  const std::string last = name.substr(name.rfind('.') + 1);
  if (last == "softmax_bias") return 1;
  if (last == "running_var" || (is_norm && last == "weight")) return static_cast<float>(0.75 + 0.5 * u);
  if (last == "running_mean" || is_norm) return static_cast<float>((2 * u - 1) * 0.1);
  if (last == "bias") return static_cast<float>((2 * u - 1) * 0.05);
  for (const Json& rule : gain_rules)
    if (name.find(rule.at(0).get<std::string>()) != std::string::npos) {
      const double fan_in = static_cast<double>(shape.numel(1, shape.rank()));
      return static_cast<float>((2 * u - 1) * (std::sqrt(3 / fan_in) * rule.at(1).get<double>()));
    }
  fail("no gain rule for {}", name);
}

// [N, H, W, C] -> [N, C, H, W]
Tensor to_nchw(const Tensor& x) {
  return nn::to_theirs(x, nn::Layout::kConvOIHW);
}

class SparseInstGolden {
 public:
  SparseInstGolden(const SafeTensors& file, Report& report)
      : file_(file), report_(report), title_(file.path().stem().string()) {}

  int run() {
    model_ = build();
    check_single();
    check_batch();
    check_single_terms();
    check_training();
    return cases_;
  }

 private:
  std::string text(const std::string& key) const {
    const auto found = file_.metadata().find(key);
    TESSERA_CHECK(found != file_.metadata().end(), "{}: metadata {} is missing", file_.path().string(), key);
    return found->second;
  }
  Json config(const std::string& key) const { return Json::parse(text("config." + key)); }

  std::unique_ptr<SparseInst> build() {
    SparseInstConfig c;
    const std::string decoder = config("decoder"), backbone = config("backbone");
    c.iam.groups = decoder == "iam" ? 1 : 4;
    c.iam.activation = decoder == "giam_soft" ? IamActivation::kSoftmax : IamActivation::kSigmoid;
    c.backbone.deep_stem = backbone.starts_with("r50vd");
    c.backbone.deform = backbone.ends_with("_dcn") ? nn::Deform::kV1 : nn::Deform::kNone;
    Random random(0);
    auto model = std::make_unique<SparseInst>(c, random);

    const std::vector<nn::StateEntry> entries = nn::state(*model);
    std::vector<std::string> names;
    for (const nn::StateEntry& entry : entries) names.push_back(entry.name);
    const Json rules = Json::parse(text("gain_rules"));
    std::vector<NamedTensor> values;
    for (const nn::StateEntry& entry : entries) {
      const std::string stem = entry.name.substr(0, entry.name.rfind('.'));
      const bool is_norm = std::ranges::find(names, stem + ".running_var") != names.end();
      const Shape shape = nn::to_theirs(entry.tensor, entry.layout).shape();
      Tensor value = Tensor::empty(shape);
      const u64 hash = fnv1a64(config("prefix").get<std::string>() + entry.name);
      for (i64 i = 0; i < value.numel(); ++i)
        value.data<float>()[i] = parameter_value(entry.name, is_norm, shape, rules, uniform01(hash, i));
      values.push_back({entry.name, value});
    }
    nn::load_state(*model, values, nn::Strictness::kExact, true);
    model->to(report_.device());
    return model;
  }

  // Picture k of the generator at the top left of `place`, an [H, W, 3] part of a batch.
  void draw_picture(i64 k, ImageSize size, ImageSize padded, float* place) const {
    const std::string name = fmt::format("{}input.{}", config("prefix").get<std::string>(), k);
    const u64 fine = fnv1a64(name), coarse = fnv1a64(name + ".block");
    const i64 hb = (size.height + 15) / 16, wb = (size.width + 15) / 16;
    for (i64 c = 0; c < 3; ++c)
      for (i64 y = 0; y < size.height; ++y)
        for (i64 x = 0; x < size.width; ++x) {
          const double uf = uniform01(fine, (c * size.height + y) * size.width + x);
          const double ub = uniform01(coarse, (c * hb + y / 16) * wb + x / 16);
          place[(y * padded.width + x) * 3 + c] = static_cast<float>(1.2 * (2 * ub - 1) + 0.9 * (2 * uf - 1));
        }
  }

  // The objects of picture k: rectangles and ellipses with integer geometry.
  Targets targets(i64 k, ImageSize size) const {
    const Tensor& rows = file_[fmt::format("batch.target.{}.shapes", k)];
    const i64 K = rows.dim(0);
    Targets result{Tensor::zeros({K, size.height, size.width}, DType::kU8), Tensor::empty({K}, DType::kI64),
                   Tensor::zeros({K, 4}), std::vector<i64>(static_cast<size_t>(K))};
    for (i64 j = 0; j < K; ++j) {
      const i64* r = rows.data<i64>() + j * 6;
      result.classes.data<i64>()[j] = r[5];
      for (i64 y = 0; y < size.height; ++y)
        for (i64 x = 0; x < size.width; ++x) {
          bool inside;
          if (r[0] == 0) {
            inside = y >= r[1] && y < r[3] && x >= r[2] && x < r[4];
          } else {
            const i64 a = (2 * x + 1 - r[2]) * r[3], b = (2 * y + 1 - r[1]) * r[4], c = 2 * r[4] * r[3];
            inside = a * a + b * b <= c * c;
          }
          result.masks.data<u8>()[(j * size.height + y) * size.width + x] = inside;
        }
    }
    return result;
  }

  Batch make_batch_of(const std::vector<ImageSize>& sizes, bool with_targets) const {
    ImageSize padded;
    for (const ImageSize& size : sizes)
      padded = {std::max(padded.height, size.height), std::max(padded.width, size.width)};
    padded = {round_up(padded.height, 32), round_up(padded.width, 32)};
    Batch batch;
    Tensor images = Tensor::zeros({static_cast<i64>(sizes.size()), padded.height, padded.width, 3});
    for (size_t k = 0; k < sizes.size(); ++k) {
      const i64 n = static_cast<i64>(k);
      draw_picture(n, sizes[k], padded, images.data<float>() + n * padded.height * padded.width * 3);
      Sample& sample = batch.samples.emplace_back();
      sample.image = Tensor::empty({sizes[k].height, sizes[k].width, 3}, DType::kU8);
      sample.image_id = n;
      if (with_targets) sample.targets = targets(n, sizes[k]);
    }
    batch.images = images.to(report_.device());
    return batch;
  }

  std::vector<ImageSize> sizes() const { return {size_from(config("size")), size_from(config("size2"))}; }

  // Compares one tensor, in the reference's layout, with the stored one.
  void compare(const std::string& key, const Tensor& got, double limit) {
    if (!file_.contains(key)) return;
    ++cases_;
    const std::string name = title_ + "/" + key;
    std::string shape;
    for (const i64 size : got.shape()) shape += fmt::format("{}{}", shape.empty() ? "" : "x", size);
    if (shape != text("shape." + key))
      return report_.fail(name, fmt::format("the shape is {}, not {}", shape, text("shape." + key)));
    const auto stride = file_.metadata().find("stride." + key);
    const i64 step = stride == file_.metadata().end() ? 1 : std::stoll(stride->second);
    const Tensor& want = file_[key];
    const Tensor host = got.to(Device{});
    Tensor sampled = Tensor::empty(want.shape());
    TESSERA_CHECK((want.numel() - 1) * step < host.numel(), "{}: {} holds too many values", title_, key);
    for (i64 i = 0; i < want.numel(); ++i) sampled.data<float>()[i] = host.data<float>()[i * step];

    double tolerance = limit;
    if (file_.contains("noise." + key)) {
      const float* noise = file_["noise." + key].data<float>();  // maximum error, rms, largest value
      if (noise[2] > 0) tolerance = std::max(tolerance, kNoiseFactor * noise[0] / noise[2]);
    }
    report_.check(name, relative_error(sampled, want), tolerance);
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

  void compare_stages(const std::string& prefix, const nn::Taps& taps) {
    for (const char* key : {"stem", "c2", "c3", "c4", "c5", "ppm", "p5", "p4", "p3", "encoder", "inst_features_map",
                            "iam_logits", "mask_features"})
      compare(prefix + key, to_nchw(taps.at(key)), kForward);
    for (const char* key : {"iam_pooled", "inst_vectors", "mask_kernel", "pred_logits", "pred_scores", "pred_masks"})
      compare(prefix + key, taps.at(key), kForward);
  }

  void check_single() {
    const NoGrad no_grad;
    const Batch batch = make_batch_of({sizes()[0]}, false);
    compare("single.input", to_nchw(batch.images), 0);
    nn::Taps taps;
    model_->forward(Var(batch.images), &taps);
    compare_stages("single.", taps);
    if (taps.contains("offset")) compare("single.c5_last_offset", to_nchw(taps.at("offset")), kForward);
  }

  struct Evaluation {
    SparseInstOutput output;
    SparseInstTargets targets;
    std::vector<Matches> matches;
    std::vector<LossTerm> terms;
  };
  Evaluation evaluate(const Batch& batch, nn::Taps* taps = nullptr) {
    Evaluation e;
    e.output = model_->forward(Var(batch.images), taps);
    e.targets = make_targets(batch, e.output.masks.dim(2), e.output.masks.dim(3), model_->config().num_classes);
    e.matches = match(e.output, e.targets, model_->config().matcher);
    e.terms = sparseinst_losses(e.output, e.targets, e.matches, model_->config().loss);
    return e;
  }

  static Var total(const std::vector<LossTerm>& terms) {
    Var sum = terms[0].value;
    for (size_t i = 1; i < terms.size(); ++i) sum = sum + terms[i].value;
    return sum;
  }

  void check_batch() {
    const Batch batch = make_batch_of(sizes(), true);
    nn::Taps taps;
    const Evaluation e = evaluate(batch, &taps);
    compare_stages("batch.", taps);
    const i64 T = e.targets.count(), h = e.output.masks.dim(2), w = e.output.masks.dim(3);
    compare("batch.target.maps", e.targets.maps.reshape({T, h, w}), 1e-6);
    for (size_t k = 0; k < e.matches.size(); ++k) {
      const std::string key = fmt::format("batch.match.{}.", k);
      compare(key + "score", matching_scores(e.output, e.targets, static_cast<i64>(k), model_->config().matcher),
              kForward);
      compare_integers(key + "pred", e.matches[k].queries);
      compare_integers(key + "target", e.matches[k].targets);
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
        const Tensor gradient = parameter->grad().to(Device{});
        for (const float g : gradient.span<float>()) square += static_cast<double>(g) * g;
      }
      norms.push_back(static_cast<float>(std::sqrt(square)));
    }
    compare("grad.l2_all", Tensor::from(norms), kGradient);
  }

  // A pixel within 1e-4 of the threshold may fall on either side and moves the IoU by about 1 / union.
  void check_ious(const Evaluation& e) {
    const Tensor got = matched_ious(e.output, e.targets, e.matches);
    const Tensor& want = file_["batch.match.iou"];
    const i64* uncertain = file_["batch.match.iou_uncertain"].data<i64>();
    double worst = got.shape() == want.shape() ? 0 : INFINITY, allowed = 1e-5;
    size_t row = 0;
    for (size_t k = 0; k < e.matches.size() && worst == 0; ++k)
      for (const i64 target : e.matches[k].targets) {
        const std::span<const float> map = e.targets.maps.span<float>().subspan(
            static_cast<size_t>((e.targets.first[k] + target) * e.targets.maps.dim(1)),
            static_cast<size_t>(e.targets.maps.dim(1)));
        const double area = static_cast<double>(std::ranges::count_if(map, [](float t) { return t > 0.5f; }));
        allowed = std::max(allowed, 2 * static_cast<double>(uncertain[row]) / std::max(area, 1.0));
        ++row;
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
    const Batch batch = make_batch_of(sizes(), true);
    for (size_t i = 0; i < 4; ++i) {
      const std::vector<LossTerm> terms = evaluate(batch).terms;
      model_->zero_grad();
      terms[i].value.backward();
      compare_gradients(fmt::format("grad_term.{}.", terms[i].name));
    }
    model_->zero_grad();
  }

  void check_postprocessing(const SparseInstOutput& output, const Batch& batch) {
    for (const char* tag : {"post", "post_thr"}) {
      InferenceConfig inference;
      if (std::string(tag) == "post_thr") inference.score_threshold = std::stod(text("post_thr.threshold"));
      for (i64 k = 0; k < batch.size(); ++k) check_picture(tag, k, output, batch, inference);
    }
  }

  void check_picture(const std::string& tag, i64 k, const SparseInstOutput& output, const Batch& batch,
                     const InferenceConfig& inference) {
    const std::string prefix = fmt::format("{}.{}.", tag, k);
    const auto part = [k](const Var& x) {
      const Tensor row = x.value().rows(k, k + 1).to(Device{});
      return row.reshape(Shape(std::span<const i64>(row.shape().begin() + 1, row.shape().end())));
    };
    const PictureLogits logits{part(output.logits), part(output.objectness), part(output.masks)};
    const ImageSize original = size_from(config("orig").at(static_cast<size_t>(k)));
    const MaskResampler resampler({logits.masks.dim(1), logits.masks.dim(2)},
                                  {batch.images.dim(1), batch.images.dim(2)}, batch.size_of(k), original);
    const std::vector<Choice> kept = choose_queries(logits, inference);
    std::vector<i64> queries, labels;
    std::vector<float> scores;
    for (const Choice& choice : kept) {
      queries.push_back(choice.query);
      labels.push_back(choice.class_index);
      scores.push_back(static_cast<float>(choice.score));
    }
    compare_integers(prefix + "kept", queries);
    compare_integers(prefix + "label", labels);
    compare(prefix + "score", Tensor::from(scores), kForward);
    check_areas(prefix, k, logits, resampler, kept, inference);

    Tensor probabilities = Tensor::empty({static_cast<i64>(kept.size()), original.height, original.width});
    float* place = probabilities.data<float>();
    for (const Choice& choice : kept) {
      resampler.columns(mask_probabilities(logits, choice.query), [&](i64 x, std::span<const float> column) {
        for (size_t y = 0; y < column.size(); ++y) place[static_cast<i64>(y) * original.width + x] = column[y];
      });
      place += original.height * original.width;
    }
    compare(prefix + "mask_prob", probabilities, kForward);
  }

  // Areas may differ by the pixels that lie within 1e-4 of the threshold.
  void check_areas(const std::string& prefix, i64 k, const PictureLogits& logits, const MaskResampler& resampler,
                   const std::vector<Choice>& kept, const InferenceConfig& inference) {
    const std::span<const i64> want = file_[prefix + "area"].span<i64>();
    const std::span<const i64> all = file_[fmt::format("post.{}.kept", k)].span<i64>();
    const i64* uncertain = file_[fmt::format("post.{}.area_uncertain", k)].data<i64>();
    double worst = want.size() == kept.size() ? 0 : INFINITY;
    for (size_t i = 0; i < kept.size() && worst < INFINITY; ++i) {
      const Rle mask = threshold_mask(mask_probabilities(logits, kept[i].query), resampler, inference.mask_threshold);
      i64 area = 0;
      for (size_t run = 1; run < mask.counts.size(); run += 2) area += mask.counts[run];
      const auto at = std::ranges::find(all, kept[i].query);
      const i64 allowed = at == all.end() ? 0 : uncertain[at - all.begin()];
      worst = std::max(worst, static_cast<double>(std::abs(area - want[i]) - allowed));
    }
    ++cases_;
    report_.check(title_ + "/" + prefix + "area", worst, 0, "pixels beyond the uncertain ones");
  }

  // AdamW on the same batch; losses and matching before each step and after the last.
  void check_training() {
    const i64 steps = config("steps");
    ops::AdamWParams adamw{.lr = config("lr"), .weight_decay = config("wd")};
    struct Moments {
      Tensor m, v;
    };
    std::map<std::string, Moments> moments;
    const Batch batch = make_batch_of(sizes(), true);
    std::vector<float> losses;
    std::vector<i64> assignments;
    for (i64 step = 0; step <= steps; ++step) {
      const Evaluation e = evaluate(batch);
      for (const LossTerm& term : e.terms) losses.push_back(static_cast<float>(term.value.value().item()));
      for (const Matches& pairs : e.matches) {
        assignments.insert(assignments.end(), pairs.queries.begin(), pairs.queries.end());
        assignments.insert(assignments.end(), pairs.targets.begin(), pairs.targets.end());
      }
      if (step == steps) break;
      model_->zero_grad();
      total(e.terms).backward();
      adamw.step = step + 1;
      for (auto& [name, parameter] : nn::named_parameters(*model_)) {
        const Tensor& value = parameter->value();
        Moments& state = moments[name];
        if (step == 0)
          state = {Tensor::zeros(value.shape(), value.dtype(), value.device()),
                   Tensor::zeros(value.shape(), value.dtype(), value.device())};
        if (parameter->grad()) ops::adamw_step(parameter->value(), parameter->grad(), state.m, state.v, adamw);
      }
    }
    compare("train.losses", Tensor::from(losses).reshape({steps + 1, 4}), kGradient);
    compare_integers("train.assign", assignments);
    for (const nn::StateEntry& entry : nn::state(*model_))
      if (entry.parameter)
        compare("train.param_after." + entry.name, nn::to_theirs(entry.parameter->value(), entry.layout), kGradient);
  }

  const SafeTensors& file_;
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
                 [](const SafeTensors& file, Report& report) { return SparseInstGolden(file, report).run(); }});

}  // namespace

}  // namespace tessera::goldens
