#include "cli/mask_stages.h"

#include <algorithm>
#include <cmath>

#include "data/draw.h"
#include "nn/intermediates.h"

namespace tessera {

namespace {

constexpr Colour kMaskColour = {255, 70, 60}, kActiveColour = {255, 220, 0}, kBlack = {0, 0, 0};
constexpr i64 kLeastTile = 336;  // pixels

MaskStages::Cells count(const Tensor& active) {
  return {active.dim(1), std::ranges::count(active.span<u8>(), u8{1}), active.numel()};
}

}  // namespace

void check_mask_stages(const Segmenter& model, const char* who) {
  TESSERA_CHECK(model.refinement_stages() > 0, "{}: the model does not refine masks in stages", who);
}

MaskStages::MaskStages(Segmenter& model, const Batch& batch) : seen_(batch.size_of(0)) {
  const nn::Intermediates kept;
  model.detect(batch);
  query_ = kept.at("stages.query").to_host();
  boxes_ = kept.at("stages.boxes").to_host();
  for (size_t s = 0; s < model.refinement_stages(); ++s) {
    stages_.push_back(
        {kept.at(fmt::format("stages.mask.{}", s)).to_host(), kept.at(fmt::format("stages.active.{}", s)).to_host()});
    cells_.push_back(count(stages_.back().active));
  }
  const i64 finest = cells_.back().size;  // a whole number of pixels for each of its cells
  side_ = (kLeastTile + finest - 1) / finest * finest;
}

Tensor MaskStages::picture(const Tensor& image, i64 query) const {
  const std::span<const i64> queries = query_.span<i64>();
  const auto found = std::ranges::find(queries, query);
  TESSERA_CHECK(found != queries.end(), "mask stages: query {} has no mask", query);
  const i64 row = found - queries.begin();
  const Tensor box = crop(image, row);
  std::vector<Tensor> tiles;
  for (const Stage& stage : stages_) {
    const i64 S = stage.mask.dim(1), cell = side_ / S;
    const float* logits = stage.mask.data<float>() + row * S * S;
    const u8* computed = stage.active.data<u8>() + row * S * S;
    Tensor mask = Tensor::empty({S, S}, DType::kU8), active = mask.clone(), passive = mask.clone();
    for (i64 i = 0; i < S * S; ++i) {
      mask.data<u8>()[i] = logits[i] > 0;
      active.data<u8>()[i] = computed[i];
      passive.data<u8>()[i] = !computed[i];
    }
    Tensor tile = box.clone();
    blend_mask(tile, enlarge(mask, cell), kMaskColour, 0.5);
    blend_mask(tile, enlarge(passive, cell), kBlack, 0.55);
    outline_mask(tile, enlarge(active, cell), kActiveColour);
    draw_text(tile, 0, 0, fmt::format("{} x {}: {:.1f} %", S, S, 100 * count(active.reshape({1, S, S})).share()), 12,
              {40, 40, 40});
    tiles.push_back(std::move(tile));
  }
  return tiled(tiles, std::ssize(tiles));
}

// The box as a square; black where it is beside the picture.
Tensor MaskStages::crop(const Tensor& image, i64 row) const {
  const i64 H = image.dim(0), W = image.dim(1);
  const float* box = boxes_.data<float>() + 4 * row;
  // Pixel `at` of the square along one axis, in pixels of the picture.
  const auto place = [&](i64 at, int axis, i64 size, i64 seen) {
    const double share = (static_cast<double>(at) + 0.5) / static_cast<double>(side_);
    const double x = std::lerp(double{box[axis]}, double{box[axis + 2]}, share);
    return std::floor(x * static_cast<double>(size) / static_cast<double>(seen));
  };
  Tensor square = Tensor::zeros({side_, side_, 3}, DType::kU8);
  for (i64 v = 0; v < side_; ++v)
    for (i64 u = 0; u < side_; ++u) {
      const double y = place(v, 1, H, seen_.height), x = place(u, 0, W, seen_.width);
      if (!(y >= 0 && y < static_cast<double>(H) && x >= 0 && x < static_cast<double>(W))) continue;
      std::copy_n(image.data<u8>() + (static_cast<i64>(y) * W + static_cast<i64>(x)) * 3, 3,
                  square.data<u8>() + (v * side_ + u) * 3);
    }
  return square;
}

}  // namespace tessera
