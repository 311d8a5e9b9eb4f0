#include "tests/goldens/effseg_golden.h"

#include <algorithm>

#include "ops/arrange.h"
#include "ops/grid_sample.h"
#include "ops/paste_masks.h"
#include "ops/pointwise.h"

namespace tessera::goldens {

using namespace effseg;

namespace {

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

}  // namespace

Tensor EffSegGolden::unpacked_masks() {
  const std::span<const u8> bits = stored("masks.packed").span<u8>();
  const std::vector<i64> shape = numbers("masks.shape");
  Tensor masks = Tensor::empty({shape[0], shape[1], shape[2], 1});
  for (size_t i = 0; i < static_cast<size_t>(masks.numel()); ++i)
    masks.span<float>()[i] = static_cast<float>(bits[i / 8] >> (7 - i % 8) & 1);
  return masks.to(device());
}

void EffSegGolden::check_stages(const std::string& before, const std::vector<StageLogits>& stages) {
  std::vector<i64> active;
  for (size_t s = 0; s < stages.size(); ++s) {
    const ops::SpsStructure& cells = stages[s].structure;
    active.push_back(cells.active());
    const auto key = [&](const char* name) { return fmt::format("{}{}.{}", before, name, s); };
    if (stores(key("seg"))) compare(key("seg"), stages[s].seg.value());
    if (stores(key("ref"))) compare(key("ref"), stages[s].ref.value());
    if (stores(key("roi"))) compare_exact(key("roi"), column(cells, ops::kSpsRoi));
    if (stores(key("pos"))) compare_exact(key("pos"), ops::slice(cells.cells, 1, ops::kSpsX, ops::kSpsY + 1));
    if (stores(key("idmap"))) compare_exact(key("idmap"), cells.index_map);
  }
  if (stores(before + "active")) compare_ids(before + "active", Tensor::from(active));
}

void EffSegGolden::check_masks(EffSegHead& head, const std::vector<Var>& maps, const roi_heads::Rois& rois,
                               std::span<const i64> unique, std::span<const i64> predicted, const Tensor& class_scores,
                               ImageSize padded) {
  const std::vector<StageLogits> stages = head.forward(maps, rois, padded);
  check_stages("inf.", stages);
  Tensor mask;
  for (const StageLogits& logits : stages) mask = refined_mask(mask, logits);
  compare_map("inf.mask_logits", mask);

  std::vector<i64> row;  // of each prediction
  for (const i64 query : predicted) row.push_back(std::ranges::find(unique, query) - unique.begin());
  const Tensor rows = Tensor::from(row).to(device());
  const Tensor& boxes = rois.boxes.value();
  const Tensor p = head.probabilities(maps, rois, padded);  // [U, 112, 112]
  const i64 U = p.dim(0), S = p.dim(1);
  const Tensor grid = pixels_in_boxes(boxes, padded).to(device());
  const Tensor pasted = ops::grid_sample(p.reshape({U, S, S, 1}), grid).reshape({U, padded.height, padded.width});
  compare("inf.prob", ops::gather_rows(pasted, rows));
  const ops::PastedMasks masks = ops::paste_masks(p, boxes, padded.height, padded.width);
  // A probability within f32's error of 1/2 may fall on either side: one pixel of a mask.
  const Tensor areas = ops::gather_rows(masks.areas, rows).to(DType::kF32);
  const bool sure = has("inf.closest_prob_to_threshold") && real("inf.closest_prob_to_threshold") > 1e-5;
  i64 largest = 1;
  for (const i64 area : stored("inf.area").span<i64>()) largest = std::max(largest, area);
  compare("inf.area", areas, sure ? 0 : 1 / static_cast<double>(largest));
  const Tensor certainty = ops::div(ops::gather_rows(masks.sums, rows), ops::add_scalar(areas, 1e-6));
  compare("inf.score", ops::mul(class_scores.to(device()), certainty));
}

}  // namespace tessera::goldens
