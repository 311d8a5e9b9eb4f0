#include "models/backbones/backbone.h"

#include <fmt/ranges.h>

#include <type_traits>

#include "models/backbones/darknet.h"
#include "models/backbones/mobilenet_v2.h"
#include "models/backbones/pvt_v2.h"
#include "models/backbones/resnet.h"
#include "nn/intermediates.h"

namespace tessera {

namespace {

// Of the rows, the first one first.
std::span<const i64> strides_of(BackboneKind kind) {
  static constexpr i64 kMobile[] = {2, 2, 4, 8, 16, 16, 32, 32, 32}, kOthers[] = {2, 4, 8, 16, 32};
  using enum BackboneKind;
  if (kind == kMobileNetV2) return kMobile;
  return std::span(kOthers).subspan(kind == kPvtV2B1 || kind == kPvtV2B2Linear ? 1 : 0);
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

std::vector<Var> Backbone::operator()(const Var& images, std::span<Random> random, const Came& came) {
  TESSERA_CHECK(images.rank() == 4 && images.dim(3) == 3, "backbone: images must be [N, H, W, 3], got {}",
                images.shape());
  came_ = &came;
  return forward(images, random);
}

void Backbone::ran(i64 row, const Var& x, std::vector<Var>& outputs) const {
  nn::keep(fmt::format("c{}", row), x);
  if (!asked(row)) return;
  outputs.push_back(x);
  if (*came_) (*came_)(outputs.size() - 1, x);
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
  const auto make = [&]<class Network>(std::type_identity<Network>) -> std::unique_ptr<Backbone> {
    return std::make_unique<Network>(config, random, std::move(rows));
  };
  switch (config.kind) {
    case BackboneKind::kMobileNetV2:
      return make(std::type_identity<MobileNetV2>());
    case BackboneKind::kDarkNet53:
    case BackboneKind::kCspDarkNet53:
      return make(std::type_identity<DarkNet>());
    case BackboneKind::kPvtV2B1:
    case BackboneKind::kPvtV2B2Linear:
      return make(std::type_identity<PvtV2>());
    default:
      return make(std::type_identity<ResNet>());
  }
}

}  // namespace tessera
