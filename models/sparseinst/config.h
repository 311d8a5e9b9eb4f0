// Every choice in SparseInst (Cheng et al., CVPR 2022). Defaults are those of the authors' code for ResNet-50 with
// group activation maps; where the paper differs its value stands in the comment.
#pragma once

#include "models/backbones/backbone.h"

namespace tessera {

struct EncoderConfig {
  i64 channels = 256;
  bool ppm = true;     // pyramid pooling on the coarsest level (Table 2)
  bool fusion = true;  // all levels fused at stride 8, else the finest alone (Table 2)

  template <class Field>
  void fields(Field&& field) {
    field("channels", channels);
    field("ppm", ppm);
    field("fusion", fusion);
  }
};

struct DecoderConfig {
  i64 depth = 4;                         // 3x3 convolutions in each of the two stacks (Table 3)
  i64 width = 256;                       // their channels
  bool coords = true;                    // x and y of each pixel as two more input channels
  nn::Deform dconv = nn::Deform::kNone;  // the last convolution of both stacks deformable (Table 3: v2)

  template <class Field>
  void fields(Field&& field) {
    field("depth", depth);
    field("width", width);
    field("coords", coords);
    field("dconv", dconv);
  }
};

enum class IamKernel { k1x1, k3x3, kTwo3x3 };
constexpr auto names_of(IamKernel) {
  return std::array{std::pair{"1x1", IamKernel::k1x1}, std::pair{"3x3", IamKernel::k3x3},
                    std::pair{"3x3-3x3", IamKernel::kTwo3x3}};
}
enum class IamActivation { kSigmoid, kSoftmax };
constexpr auto names_of(IamActivation) {
  return std::array{std::pair{"sigmoid", IamActivation::kSigmoid}, std::pair{"softmax", IamActivation::kSoftmax}};
}

// The instance activation maps (Table 4).
struct IamConfig {
  IamKernel kernel = IamKernel::k3x3;
  IamActivation activation = IamActivation::kSigmoid;  // softmax over the pixels in place of sigmoid and sum
  i64 groups = 4;                                      // maps per instance; 1: the plain decoder, BaseIAM
  bool fc = true;                                      // with groups: a hidden layer over the concatenated groups
  bool cross_attention = false;                        // learned queries and 4 heads in place of the maps (Table 7)

  template <class Field>
  void fields(Field&& field) {
    field("kernel", kernel);
    field("activation", activation);
    field("groups", groups);
    field("fc", fc);
    field("cross_attention", cross_attention);
  }
};

enum class MaskLoss { kDiceBce, kDice, kBce, kDiceFocal };
constexpr auto names_of(MaskLoss) {
  return std::array{std::pair{"dice+bce", MaskLoss::kDiceBce}, std::pair{"dice", MaskLoss::kDice},
                    std::pair{"bce", MaskLoss::kBce}, std::pair{"dice+focal", MaskLoss::kDiceFocal}};
}
enum class ObjectnessLoss { kNone, kCe, kL1 };
constexpr auto names_of(ObjectnessLoss) {
  return std::array{std::pair{"none", ObjectnessLoss::kNone}, std::pair{"ce", ObjectnessLoss::kCe},
                    std::pair{"l1", ObjectnessLoss::kL1}};
}

struct LossConfig {
  MaskLoss mask = MaskLoss::kDiceBce;               // Table 5
  ObjectnessLoss objectness = ObjectnessLoss::kCe;  // Table 6; none: there is no objectness head either
  double class_weight = 2;
  double dice_weight = 2;
  double pixel_weight = 5;  // paper: 2
  double objectness_weight = 1;

  template <class Field>
  void fields(Field&& field) {
    field("mask", mask);
    field("objectness", objectness);
    field("class_weight", class_weight);
    field("dice_weight", dice_weight);
    field("pixel_weight", pixel_weight);
    field("objectness_weight", objectness_weight);
  }
};

struct MatcherConfig {
  double dice_exponent = 0.8;  // cost = dice^0.8 p^0.2
  double class_exponent = 0.2;

  template <class Field>
  void fields(Field&& field) {
    field("dice_exponent", dice_exponent);
    field("class_exponent", class_exponent);
  }
};

struct InferenceConfig {
  bool rescore = true;             // score = sqrt(class * objectness), else class (Table 6)
  bool maskness = true;            // times the mean mask probability inside the mask; not in the paper
  double score_threshold = 0.005;  // of what is kept, before maskness
  double mask_threshold = 0.45;

  template <class Field>
  void fields(Field&& field) {
    field("rescore", rescore);
    field("maskness", maskness);
    field("score_threshold", score_threshold);
    field("mask_threshold", mask_threshold);
  }
};

struct SparseInstConfig {
  i64 num_classes = 80;
  i64 num_masks = 100;   // instances an image can have at most
  i64 kernel_dim = 128;  // channels of the mask features
  i64 scale_factor = 2;  // masks are enlarged from stride 8 by this
  BackboneConfig backbone;
  EncoderConfig encoder;
  DecoderConfig decoder;
  IamConfig iam;
  MatcherConfig matcher;
  LossConfig loss;
  InferenceConfig inference;

  template <class Field>
  void fields(Field&& field) {
    field("num_classes", num_classes);
    field("num_masks", num_masks);
    field("kernel_dim", kernel_dim);
    field("scale_factor", scale_factor);
    field("backbone", backbone);
    field("encoder", encoder);
    field("decoder", decoder);
    field("iam", iam);
    field("matcher", matcher);
    field("loss", loss);
    field("inference", inference);
  }
};

}  // namespace tessera
