// A neck: what turns a backbone's maps into a feature pyramid of one width, P2 .. P7 at strides 4 .. 128, which
// detectors and mask heads read.
//
//   kind             from      gives            what
//   fpn              C2 .. C5  P2 .. P7         top-down sums of laterals (fpn.h)
//   dino             C2 .. C5  P2 .. P7         Mask DINO's deformable encoder and a projection per level (dino.h)
//   deform_encoder   C2 .. C5  P2 .. P7         channel mapper and FQDetV2's deformable encoder (deform_encoder.h)
//
// The first and the last level can be chosen, but of dino: P3 .. P7 needs C3 .. C5. What lies above P5 comes of C5.
#pragma once

#include <memory>
#include <vector>

#include "data/image.h"
#include "models/backbones/backbone.h"

namespace tessera {

enum class NeckKind { kFpn, kDino, kDeformEncoder };
constexpr auto names_of(NeckKind) {
  return std::array{std::pair{"fpn", NeckKind::kFpn}, std::pair{"dino", NeckKind::kDino},
                    std::pair{"deform_encoder", NeckKind::kDeformEncoder}};
}

// The kind decides which options there are besides.
struct NeckConfig {
  NeckKind kind = NeckKind::kFpn;
  i64 channels = 256;
  i64 first_level = 2, last_level = 7;
  i64 layers = 6, heads = 8, points = 4, ffn = 1024;
  bool pe_order_bug = true;

  template <class Field>
  void fields(Field&& field) {
    const bool all = field.every_kind;
    TESSERA_FIELD(kind, "the network");
    TESSERA_FIELD(channels, "channels of every level", at_least(8).multiple_of(8));
    TESSERA_FIELD(first_level, "finest level: 2 is P2 at stride 4; dino: 2", between(2, 5));
    TESSERA_FIELD(last_level, "coarsest level: 7 is P7 at stride 128; dino: 7", between(5, 10));
    if (all || kind != NeckKind::kFpn) {
      TESSERA_FIELD(layers, "encoders: layers", at_least(1));
      TESSERA_FIELD(heads, "encoders: heads of the attention", at_least(1));
      TESSERA_FIELD(points, "encoders: points that a head samples in each level", at_least(1));
      TESSERA_FIELD(ffn, "encoders: hidden channels of the feed-forward part; deform_encoder's release: 2048",
                    at_least(1));
    }
    if (all || kind == NeckKind::kDino)
      TESSERA_FIELD(
          pe_order_bug,
          "dino: positions of P6 and P7 in the order of the reference code, in which its weights were trained: each "
          "other's; off: each level its own");
  }
};

class Neck : public nn::Module {
 public:
  // maps: the backbone's, finest first, each [N, h, w, C]; sizes: of the N pictures before padding to `padded`, which
  // is the backbone's input. -> one map per level, finest first, [N, ceil(H / stride), ceil(W / stride), channels].
  virtual std::vector<Var> operator()(const std::vector<Var>& maps, const std::vector<ImageSize>& sizes,
                                      ImageSize padded) = 0;
  const std::vector<FeatureLevel>& levels() const { return levels_; }  // of the outputs

 protected:
  // Throws unless `in` are the levels that strides_into(config) tells.
  Neck(const NeckConfig& config, const std::vector<FeatureLevel>& in);

 private:
  std::vector<FeatureLevel> levels_;
};

// The strides of the maps that the neck needs, for rows_at(): 4 .. 32 from P2 on.
std::vector<i64> strides_into(const NeckConfig& config);

std::unique_ptr<Neck> make_neck(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random);

}  // namespace tessera
