#include "models/necks/neck.h"

#include <fmt/ranges.h>

#include "models/necks/deform_encoder.h"
#include "models/necks/dino.h"
#include "models/necks/fpn.h"

namespace tessera {

std::vector<i64> strides_into(const NeckConfig& config) {
  std::vector<i64> strides;
  for (i64 level = config.first_level; level <= 5; ++level) strides.push_back(i64{1} << level);
  return strides;
}

Neck::Neck(const NeckConfig& config, const std::vector<FeatureLevel>& in) {
  check_fields("neck", config);
  TESSERA_CHECK(config.kind != NeckKind::kDino || (config.first_level == 2 && config.last_level == 7),
                "neck: dino gives P2 to P7, not P{} to P{}", config.first_level, config.last_level);
  std::vector<i64> strides;
  for (const FeatureLevel& level : in) strides.push_back(level.stride);
  TESSERA_CHECK(strides == strides_into(config), "neck: maps at strides {} are needed, the backbone gives {}",
                fmt::join(strides_into(config), ", "), fmt::join(strides, ", "));
  for (i64 level = config.first_level; level <= config.last_level; ++level)
    levels_.push_back({config.channels, i64{1} << level});
}

std::unique_ptr<Neck> make_neck(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random) {
  switch (config.kind) {
    case NeckKind::kFpn:
      return std::make_unique<FpnNeck>(config, in, random);
    case NeckKind::kDino:
      return std::make_unique<DinoNeck>(config, in, random);
    case NeckKind::kDeformEncoder:
      return std::make_unique<DeformEncoderNeck>(config, in, random);
  }
  fail("neck: the kind {} is none", static_cast<int>(config.kind));
}

}  // namespace tessera
