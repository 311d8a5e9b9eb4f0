// The golden results of EffSeg's mask head: effseg_head, effseg_head_* and effseg_dense. Losses with all gradients for
// the matched queries of two pictures, then masks and scores of predictions in the first one.
//
// Metadata: prefix, channels, height, width, queries, k, module (sfm, conv, deform, mlp, dense), refine (absent:
// branch), ref_eps, masks.shape.
#include <algorithm>

#include "autograd/arrange.h"
#include "models/effseg/head.h"
#include "models/roi_heads/roi_features.h"
#include "nn/intermediates.h"
#include "ops/arrange.h"
#include "ops/grid_sample.h"
#include "ops/paste_masks.h"
#include "ops/pointwise.h"
#include "tests/goldens/module_golden.h"

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

// Where the pixels of a picture lie in boxes [R, 4], as grid_sample takes it: [R, height, width, 2].
Tensor pixels_in_boxes(const Tensor& boxes, ImageSize size) {
  const Tensor host = boxes.to_host();
  Tensor grid = Tensor::empty({host.dim(0), size.height, size.width, 2});
  float* out = grid.data<float>();
  for (i64 r = 0; r < host.dim(0); ++r) {
    const float* b = host.data<float>() + 4 * r;
    const auto place = [](i64 pixel, double from, double to) {
      return static_cast<float>((static_cast<double>(pixel) + 0.5 - from) / (to - from) * 2 - 1);
    };
    for (i64 y = 0; y < size.height; ++y)
      for (i64 x = 0; x < size.width; ++x) {
        *out++ = place(x, double{b[0]}, double{b[2]});
        *out++ = place(y, double{b[1]}, double{b[3]});
      }
  }
  return grid;
}

class EffSegHeadGolden : ModuleGolden {
 public:
  using ModuleGolden::ModuleGolden;

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

  Tensor unpacked_masks() {  // f32 [T, H, W, 1]
    const std::span<const u8> bits = stored("masks.packed").span<u8>();
    const std::vector<i64> shape = numbers("masks.shape");
    Tensor masks = Tensor::empty({shape[0], shape[1], shape[2], 1});
    for (size_t i = 0; i < static_cast<size_t>(masks.numel()); ++i)
      masks.span<float>()[i] = static_cast<float>(bits[i / 8] >> (7 - i % 8) & 1);
    return masks.to(device());
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
    check_stages("train", head.forward(maps_, rois(matched), size_, crops_of(targets, rois(matched))), true);
  }

  static std::vector<Tensor> crops_of(const roi_heads::RoiTargets& targets, const roi_heads::Rois& rois) {
    std::vector<Tensor> crops;
    for (size_t s = 0; s < kStages; ++s)
      crops.push_back(roi_heads::crop_masks(targets.masks, targets.object, rois.boxes.value(), kFirstSize << s));
    return crops;
  }

  // Ids, of which some are stored as i32 and some in part; f32 holds them exactly.
  void compare_exact(const std::string& key, const Tensor& ids) { compare(key, ids.to(DType::kF32), 0); }

  void check_stages(const std::string& when, const std::vector<StageLogits>& stages, bool training) {
    std::vector<i64> active;
    for (size_t s = 0; s < kStages; ++s) {
      const auto key = [&](const char* name) { return fmt::format("{}.{}.{}", when, name, s); };
      const ops::SpsStructure& cells = stages[s].structure;
      active.push_back(cells.active());
      compare(key("seg"), stages[s].seg.value());
      if (training && stages[s].ref) compare(key("ref"), stages[s].ref.value());
      compare_exact(key("roi"), ops::slice(cells.cells, 1, ops::kSpsRoi, ops::kSpsRoi + 1).reshape({cells.active()}));
      compare_exact(key("pos"), ops::slice(cells.cells, 1, ops::kSpsX, ops::kSpsY + 1));
      if (training) compare_exact(key("idmap"), cells.index_map);
    }
    if (stores(when + ".active")) compare_ids(when + ".active", Tensor::from(active));
  }

  void check_inference(EffSegHead& head) {
    const NoGrad no_grad;
    const roi_heads::Rois found = rois(stored("inf.unique_query"));
    check_stages("inf", head.forward(maps_, found, size_), false);
    const Tensor p = head.probabilities(maps_, found, size_);  // [U, 112, 112]
    const i64 U = p.dim(0), S = p.dim(1);
    Tensor mask;
    for (const StageLogits& logits : head.forward(maps_, found, size_)) mask = refined_mask(mask, logits);
    compare_map("inf.mask_logits", mask);

    // Of each prediction, whose query is one of the unique ones.
    const std::span<const i64> unique = stored("inf.unique_query").span<i64>();
    std::vector<i64> row;
    for (const i64 query : stored("inf.pred_query").span<i64>())
      row.push_back(std::ranges::find(unique, query) - unique.begin());
    const Tensor rows = Tensor::from(row).to(device());
    const Tensor& boxes = found.boxes.value();
    const Tensor grid = pixels_in_boxes(boxes, size_).to(device());
    const Tensor pasted = ops::grid_sample(p.reshape({U, S, S, 1}), grid).reshape({U, size_.height, size_.width});
    compare("inf.prob", ops::gather_rows(pasted, rows));
    const ops::PastedMasks masks = ops::paste_masks(p, boxes, size_.height, size_.width);
    // A probability may lie within f32's error of 1/2: an area is as exact as other values.
    const Tensor areas = ops::gather_rows(masks.areas, rows).to(DType::kF32);
    compare("inf.area", areas);
    const Tensor certainty = ops::div(ops::gather_rows(masks.sums, rows), ops::add_scalar(areas, 1e-6));
    compare("inf.score", ops::mul(stored("inf.class_score").to(device()), certainty));
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
