#include "models/backbones/backbone.h"

#include <fmt/ranges.h>

#include <span>

#include "models/backbones/mobilenet_v2.h"
#include "models/backbones/resnet.h"
#include "nn/intermediates.h"

namespace tessera {

namespace {

// Of the rows, the first one first.
std::span<const i64> strides_of(BackboneKind kind) {
  static constexpr i64 kResNet[] = {2, 4, 8, 16, 32}, kMobileNetV2[] = {2, 2, 4, 8, 16, 16, 32, 32, 32};
  if (kind == BackboneKind::kMobileNetV2) return kMobileNetV2;
  return kResNet;
}

}  // namespace

Backbone::Backbone(BackboneKind kind, std::vector<i64> rows)
    : kind_(kind), rows_(rows.empty() ? rows_at(kind, {8, 16, 32}) : std::move(rows)) {
  const i64 count = std::ssize(strides_of(kind));
  TESSERA_CHECK(std::ranges::is_sorted(rows_, std::ranges::less_equal()) && rows_.front() >= 1 && rows_.back() <= count,
                "backbone: the rows asked for must ascend from 1 to {}, got {}", count, fmt::join(rows_, ", "));
}

void Backbone::built(i64 row, i64 channels) {
  if (asked(row)) levels_.push_back({channels, strides_of(kind_)[static_cast<size_t>(row - 1)]});
}

const Var& Backbone::checked(const Var& images) {
  TESSERA_CHECK(images.rank() == 4 && images.dim(3) == 3, "backbone: images must be [N, H, W, 3], got {}",
                images.shape());
  return images;
}

void Backbone::ran(i64 row, const Var& x, std::vector<Var>& outputs) const {
  nn::keep(fmt::format("c{}", row), x);
  if (asked(row)) outputs.push_back(x);
}

std::vector<i64> rows_at(BackboneKind kind, const std::vector<i64>& strides) {
  const std::span<const i64> all = strides_of(kind);
  std::vector<i64> rows;
  for (const i64 stride : strides) {
    const auto after = std::ranges::find(all.rbegin(), all.rend(), stride).base();
    TESSERA_CHECK(after != all.begin(), "backbone: there is no map at stride {}; strides are {}", stride,
                  fmt::join(all, ", "));
    rows.push_back(after - all.begin());
  }
  return rows;
}

std::unique_ptr<Backbone> make_backbone(const BackboneConfig& config, Random& random, std::vector<i64> rows) {
  if (config.kind == BackboneKind::kMobileNetV2) return std::make_unique<MobileNetV2>(config, random, std::move(rows));
  return std::make_unique<ResNet>(config, random, std::move(rows));
}

}  // namespace tessera
