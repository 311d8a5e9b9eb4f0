// The golden results of EffSeg's mask head: effseg_head, effseg_head_* and effseg_dense. Losses with all gradients for
// the matched queries of two pictures, then masks and scores of predictions in the first one.
//
// Metadata: prefix, channels, height, width, queries, k, module (sfm, conv, deform, mlp, dense), refine (absent:
// branch), ref_eps, masks.shape.
#include "autograd/arrange.h"
#include "models/roi_heads/roi_features.h"
#include "nn/intermediates.h"
#include "ops/arrange.h"
#include "tests/goldens/effseg_golden.h"

namespace tessera::goldens {

using namespace effseg;

namespace {

constexpr i64 kPictures = 2;

HeadConfig config_of(const std::string& module) {
  if (module == "dense") return {.processing = Processing::kDenseSfm, .project_maps = true};
  const std::string name = module == "deform" ? "deform_conv" : module;
  for (const auto& [known, processing] : names_of(Processing{}))
    if (name == known) return {.processing = processing};
  fail("effseg golden: there is no module {}", module);
}

Refine refine_of(const std::string& name) {
  for (const auto& [known, refine] : names_of(Refine{}))
    if (name == known) return refine;
  fail("effseg golden: cells are not ranked by {}", name);
}

class EffSegHeadGolden : EffSegGolden {
 public:
  using EffSegGolden::EffSegGolden;

  int run() {
    HeadConfig config = config_of(text("module"));
    if (has("refine")) config.refine = refine_of(text("refine"));
    if (config.processing != Processing::kDenseSfm) config.refinements = number("k");
    config.ref_eps = real("ref_eps");
    Random random(0);
    EffSegHead head(config, C_, random);
    generate(head);
    for (i64 l = 0; l < 4; ++l) {
      const i64 stride = i64{4} << l;
      maps_.push_back(map(fmt::format("maps.{}", l),
                          {kPictures, C_, (size_.height + stride - 1) / stride, (size_.width + stride - 1) / stride}));
    }
    check_training(head);
    check_inference(head);
    return finish();
  }

 private:
  roi_heads::Rois rois(const Tensor& queries) {  // rows of them
    const Tensor rows = queries.to(device());
    return {gather_rows(boxes_, rows), gather_rows(queries_, rows),
            ops::gather_rows(stored("image_ids").to(device()), rows), Tensor()};
  }

  void check_training(EffSegHead& head) {
    const Tensor& matched = stored("matched_qry_ids");
    const roi_heads::RoiTargets targets{unpacked_masks(), stored("matched_tgt_ids").to(device()), matched.numel()};
    nn::Intermediates seen;
    const std::vector<LossTerm> terms = head.losses(maps_, rois(matched), targets, size_, {});
    for (const char* name : {"roi_feats", "fused", "fcn"}) compare_map(fmt::format("train.{}", name), seen.at(name));
    for (size_t s = 0; s < kStages; ++s) {
      const auto key = [s](const char* name) { return fmt::format("train.{}.{}", name, s); };
      compare(key("act"), seen.at(fmt::format("act.{}", s)));
      compare(key("pas"), seen.at(fmt::format("pas.{}", s)));
      compare(key("target_value"), seen.at(fmt::format("target_value.{}", kFirstSize << s)));
      if (s + 1 < kStages) compare(key("key"), seen.at(fmt::format("key.{}", s)));
    }
    std::vector<float> seg, ref;
    for (size_t s = 0; s < kStages; ++s) {
      seg.push_back(static_cast<float>(seen.at(fmt::format("seg_loss.{}", s)).item()));
      if (terms.size() > 1) ref.push_back(static_cast<float>(seen.at(fmt::format("ref_loss.{}", s)).item()));
    }
    compare("train.seg_losses", Tensor::from(seg));
    if (terms.size() > 1) compare("train.ref_losses", Tensor::from(ref));
    const Var loss = Losses{terms}.total();
    compare("train.loss", loss.value().reshape({1}));
    loss.backward();
    for (size_t l = 0; l < maps_.size(); ++l) compare_map_gradient(fmt::format("grad.maps.{}", l), maps_[l]);
    compare_gradient("grad.queries", queries_);
    compare_gradient("grad.boxes", boxes_);
    compare_gradients(head);
    const NoGrad no_grad;  // once more for the stages themselves, which the losses do not hand out
    check_stages("train.", head.forward(maps_, rois(matched), size_, crops_of(targets, rois(matched))));
  }

  static std::vector<Tensor> crops_of(const roi_heads::RoiTargets& targets, const roi_heads::Rois& rois) {
    std::vector<Tensor> crops;
    for (size_t s = 0; s < kStages; ++s)
      crops.push_back(roi_heads::crop_masks(targets.masks, targets.object, rois.boxes.value(), kFirstSize << s));
    return crops;
  }

  void check_inference(EffSegHead& head) {
    const NoGrad no_grad;
    check_masks(head, maps_, rois(stored("inf.unique_query")), stored("inf.unique_query").span<i64>(),
                stored("inf.pred_query").span<i64>(), stored("inf.class_score"), size_);
  }

  const i64 C_ = number("channels");
  const ImageSize size_{number("height"), number("width")};
  std::vector<Var> maps_;
  Var boxes_{stored("boxes").to(device()), true};
  Var queries_ = input("queries", {number("queries"), C_});
};

const bool kAdded =
    add_network({"EffSeg's mask head", [](const SafeTensors& file) { return file.contains("train.seg_losses"); },
                 check_with<EffSegHeadGolden>});

}  // namespace

}  // namespace tessera::goldens
