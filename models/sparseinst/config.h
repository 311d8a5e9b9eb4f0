// Every choice in SparseInst (Cheng et al., CVPR 2022). Defaults are those of the authors' code for ResNet-50 with
// group activation maps; where the paper differs its value stands in the meaning. Tables are those of the paper.
#pragma once

#include "models/backbones/backbone.h"
#include "tensor/fields.h"

namespace tessera::sparseinst {

struct EncoderConfig {
  i64 channels = 256;
  bool ppm = true, fusion = true;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(channels, "channels of every level", at_least(4).multiple_of(4));
    TESSERA_FIELD(ppm, "pyramid pooling on the coarsest level (Table 2)");
    TESSERA_FIELD(fusion, "all levels fused at stride 8, else the finest alone (Table 2)");
  }
};

struct DecoderConfig {
  i64 depth = 4, width = 256;
  bool coords = true;
  nn::Deform dconv = nn::Deform::kNone;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(depth, "3x3 convolutions in each of the two stacks (Table 3)", at_least(1));
    TESSERA_FIELD(width, "their channels; iam.groups divides them", at_least(1));
    TESSERA_FIELD(coords, "x and y of each pixel as two more input channels");
    TESSERA_FIELD(dconv, "the last convolution of both stacks deformable (Table 3: v2)");
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

struct IamConfig {
  IamKernel kernel = IamKernel::k3x3;
  IamActivation activation = IamActivation::kSigmoid;
  i64 groups = 4;
  bool fc = true, cross_attention = false;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(kernel, "convolution that makes the maps (Table 4)");
    TESSERA_FIELD(activation, "sigmoid divided by its sum over the pixels, or their softmax");
    TESSERA_FIELD(groups, "maps per instance; 1: the plain decoder, BaseIAM", at_least(1));
    TESSERA_FIELD(fc, "with groups: a hidden layer over the concatenated groups");
    TESSERA_FIELD(cross_attention, "learned queries and 4 heads in place of the maps (Table 7)");
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
  MaskLoss mask = MaskLoss::kDiceBce;
  ObjectnessLoss objectness = ObjectnessLoss::kCe;
  double class_weight = 2, dice_weight = 2, pixel_weight = 5, objectness_weight = 1;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(mask, "terms of the mask loss (Table 5)");
    TESSERA_FIELD(objectness, "loss of the IoU head (Table 6); none: there is no such head either");
    TESSERA_FIELD(class_weight, "factor on the focal loss of the classes", at_least(0));
    TESSERA_FIELD(dice_weight, "factor on the dice term of the masks", at_least(0));
    TESSERA_FIELD(pixel_weight, "factor on the bce or focal term of the masks; paper: 2", at_least(0));
    TESSERA_FIELD(objectness_weight, "factor on the loss of the IoU head", at_least(0));
  }
};

struct MatcherConfig {
  double dice_exponent = 0.8, class_exponent = 0.2;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(dice_exponent, "a of dice^a p^b, which the matching makes largest", at_least(0));
    TESSERA_FIELD(class_exponent, "b of dice^a p^b; p: probability of the object's class", at_least(0));
  }
};

struct InferenceConfig {
  bool rescore = true, maskness = true;
  double score_threshold = 0.005, mask_threshold = 0.45;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(rescore, "score = sqrt(class * objectness), else class (Table 6)");
    TESSERA_FIELD(maskness, "score times the mean mask probability inside the mask; not in the paper");
    TESSERA_FIELD(score_threshold, "objects below this score are left out, before maskness", between(0, 1));
    TESSERA_FIELD(mask_threshold, "pixels above this probability belong to a mask", between(0, 1));
  }
};

struct Config {
  i64 num_classes = 80, num_masks = 100, kernel_dim = 128, scale_factor = 2;
  BackboneConfig backbone;
  EncoderConfig encoder;
  DecoderConfig decoder;
  IamConfig iam;
  MatcherConfig matcher;
  LossConfig loss;
  InferenceConfig inference;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(num_classes, "classes; training takes their number from the data", at_least(1));
    TESSERA_FIELD(num_masks, "instances that an image can have at most", at_least(1));
    TESSERA_FIELD(kernel_dim, "channels of the mask features", at_least(1));
    TESSERA_FIELD(scale_factor, "masks are enlarged from stride 8 by this", between(1, 8));
    TESSERA_FIELD(backbone, "network that turns the image into feature maps");
    TESSERA_FIELD(encoder, "context encoder: one feature map out of three levels");
    TESSERA_FIELD(decoder, "the stacks of convolutions of the instance and the mask branch");
    TESSERA_FIELD(iam, "instance activation maps");
    TESSERA_FIELD(matcher, "which prediction learns which object");
    TESSERA_FIELD(loss, "terms of the loss and their weights");
    TESSERA_FIELD(inference, "how predictions become objects");
  }
};

}  // namespace tessera::sparseinst
