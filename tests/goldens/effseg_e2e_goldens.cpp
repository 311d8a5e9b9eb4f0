// The golden results of the whole of EffSeg, e2e_effseg: image -> ResNet-50 -> FPN -> FQDet -> mask head at full width,
// with the names of the reference's checkpoints; losses, gradients, detections and masks.
//
// Metadata: prefix of the inputs, parameter_prefix, height, width, selections, k, ref_eps, masks.shape. The last
// normalisation of every residual block, and that of its shortcut, has 0.3 times the generated weight.
#include <algorithm>
#include <map>

#include "autograd/arrange.h"
#include "autograd/conv2d.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/effseg/effseg.h"
#include "models/fqdet/boxes.h"
#include "nn/intermediates.h"
#include "ops/arrange.h"
#include "ops/pointwise.h"
#include "tests/goldens/effseg_golden.h"

namespace tessera::goldens {

using namespace effseg;

namespace {

constexpr double kGradient = 5e-2;  // ReLUs near 0 on tiny maps: f64's reference in f32 is off by 2e-2 itself

// The parts of the network by their names.
class Parts : public nn::Visitor, public std::map<std::string, nn::Module*> {
 public:
  explicit Parts(nn::Module& network) { network.visit(*this); }
  void parameter(const std::string&, Var&, nn::Layout) override {}
  void buffer(const std::string&, Tensor&) override {}
  void child(const std::string& name, nn::Module& module) override {
    if (name.empty()) return module.visit(*this);
    (*this)[name] = &module;
  }
  template <class M>
  M& get(const std::string& name) {
    return dynamic_cast<M&>(*at(name));
  }
};

class EffSegE2eGolden : EffSegGolden {
 public:
  EffSegE2eGolden(const SafeTensors& file, Report& report) : EffSegGolden(file, report, {.gradient = kGradient}) {}

  int run() {
    Config config;
    config.queries = number("selections");
    config.head.effseg.refinements = number("k");
    config.head.effseg.ref_eps = real("ref_eps");
    Random random(0);
    EffSeg network(config, random);
    fill(network);
    Parts parts(network);
    auto& mask_head = parts.get<EffSegHead>("heads.gvd.heads.2");
    const Batch batch = one_picture();
    const Tensor image = normalised();

    // The maps are leaves, so that their gradients can be seen; the rest of the way back follows below.
    nn::Intermediates seen;
    const std::vector<Var> features = parts.get<BodyBackbone>("backbone")(Var(image));  // C2 .. C5
    for (size_t i = 0; i < features.size(); ++i) compare_map(fmt::format("c.{}", i + 2), features[i].value());
    const std::vector<Var> maps = parts.get<Neck>("core")(features, {size_}, size_);  // P2 .. P7
    std::vector<Var> leaves;
    for (const Var& map : maps) leaves.emplace_back(map.value(), true);
    const fqdet::Output output = parts.get<fqdet::Head>("heads.gvd")(leaves, size_);
    check_detector(output);
    {
      const NoGrad no_grad;  // the network as it is built computes the same
      compare("sel_logits", network.detector().forward(Var(image), batch).selection.value());
    }

    fqdet::Matches matches;
    std::vector<LossTerm> terms = network.detector().losses(output, network.detector().ground_truth(batch), matches);
    compare_ids("matched_qry", matches.query);
    compare_ids("matched_tgt", matches.object);
    std::vector<Tensor> detector;
    for (const LossTerm& term : terms) detector.push_back(term.value.value().reshape({1}));
    compare("losses.detector", ops::concat(detector, 0));
    for (const LossTerm& term : network.mask_losses(output, matches, object_masks(batch, device()), batch, {}))
      terms.push_back(term);
    for (const char* name : {"seg", "ref"}) {
      std::vector<Tensor> stages;
      for (size_t s = 0; s < kStages; ++s) stages.push_back(seen.at(fmt::format("{}_loss.{}", name, s)).reshape({1}));
      compare(fmt::format("losses.{}", name), ops::concat(stages, 0));
    }
    const Var loss = Losses{terms}.total();
    compare("loss", loss.value().reshape({1}));
    loss.backward();
    std::vector<Tensor> of_heads;
    for (const Var& leaf : leaves) of_heads.push_back(leaf.grad().clone());
    add_way_over_p7(network, leaves);
    Var rest;
    for (size_t i = 0; i < maps.size(); ++i) {
      compare_map(fmt::format("p.{}", i + 2), maps[i].value());
      compare_map_gradient(fmt::format("grad.p.{}", i + 2), leaves[i]);
      const Var part = sum(maps[i] * Var(of_heads[i]));
      rest = rest ? rest + part : part;
    }
    rest.backward();
    compare_gradients(network);

    const NoGrad no_grad;
    const Var boxes = network.detector().boxes(output);
    const auto rois = [&](const Tensor& queries) {
      return roi_heads::Rois{gather_rows(boxes, queries), gather_rows(output.queries, queries),
                             Tensor::zeros({queries.numel()}, DType::kI64, device()), Tensor()};
    };
    check_stages("", mask_head.forward(leaves, rois(matches.query), size_));
    const fqdet::Predictions found = network.detector().predict(output);
    compare_ids("det.query", found.query);
    compare_ids("det.label", found.classes);
    compare("det.score", found.scores);
    const Tensor predicted = found.query.to_host();
    std::vector<i64> unique(predicted.span<i64>().begin(), predicted.span<i64>().end());
    std::ranges::sort(unique);
    unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
    check_masks(mask_head, leaves, rois(Tensor::from(unique).to(device())), unique, predicted.span<i64>(), found.scores,
                size_);
    return finish();
  }

 private:
  void fill(EffSeg& network) {
    generate(network, nullptr, text("parameter_prefix"));
    for (const nn::StateEntry& entry : nn::state(network)) {
      const bool last = entry.name.ends_with(".bn3.weight") || entry.name.ends_with("downsample.1.weight");
      if (!entry.name.starts_with("backbone.") || !last) continue;
      Tensor damped = entry.tensor.to_host().clone();
      for (float& value : damped.span<float>()) value = static_cast<float>(0.3 * static_cast<double>(value));
      Tensor(entry.tensor).copy_from(damped.to(device()));
    }
  }

  // The stored gradient of P6 is also that over P7, which the neck makes of it.
  void add_way_over_p7(EffSeg& network, std::vector<Var>& maps) {
    std::map<std::string, Var*> parameters;
    for (const auto& [name, parameter] : nn::named_parameters(network)) parameters[name] = parameter;
    const Var p6(maps[4].value(), true), weight = parameters.at("core.body.fpn_convs.5.conv.weight")->detach();
    const Var p7 = conv2d(relu(p6), weight, Var(), {.stride = 2, .padding = 1});
    sum(p7 * Var(maps[5].grad())).backward();
    ops::add_into(maps[4].grad(), p6.grad());
  }

  Tensor normalised() {  // [1, H, W, 3]
    constexpr double kMean[] = {0.485, 0.456, 0.406}, kStd[] = {0.229, 0.224, 0.225};
    Tensor image = nn::to_ours(stored("image"), nn::Layout::kConvOIHW).clone();
    for (i64 i = 0; i < image.numel(); ++i) {
      float& value = image.data<float>()[i];
      value = static_cast<float>((static_cast<double>(value) - kMean[i % 3]) / kStd[i % 3]);
    }
    return image.to(device());
  }

  Batch one_picture() {
    const Tensor masks = unpacked_masks().to_host();
    const i64 T = masks.dim(0);
    Sample sample;
    sample.image = Tensor::zeros({size_.height, size_.width, 3}, DType::kU8);
    sample.original = size_;
    sample.targets = {masks.to(DType::kU8).reshape({T, size_.height, size_.width}), stored("targets.labels"),
                      stored("targets.boxes"), std::vector<i64>(static_cast<size_t>(T))};
    Batch batch;
    batch.samples.push_back(sample);
    batch.padded = size_;
    return batch;
  }

  void check_detector(const fqdet::Output& output) {
    const i64 n = output.selected.dim(1);
    const auto of_picture = [&](const Tensor& x) { return x.reshape({1, n, x.dim(1)}); };
    compare("sel_logits", output.selection.value());
    compare_ids("ids", output.selected);
    compare("cls", of_picture(output.class_logits.value()));
    compare("delta", of_picture(output.deltas.value()));
    compare("boxes", of_picture(fqdet::centre_form(fqdet::decode(output.deltas, output.anchors).value())));
    compare("queries", of_picture(output.queries.value()));
  }

  const ImageSize size_{number("height"), number("width")};
};

const bool kAdded =
    add_network({"EffSeg as a whole", [](const SafeTensors& file) { return file.contains("losses.detector"); },
                 check_with<EffSegE2eGolden>});

}  // namespace

}  // namespace tessera::goldens
