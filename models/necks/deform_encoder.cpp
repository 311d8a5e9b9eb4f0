#include "models/necks/deform_encoder.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "nn/init.h"
#include "nn/intermediates.h"
#include "nn/profile.h"
#include "ops/scalar/interpolate.h"

namespace tessera {

namespace {

constexpr double kTemperature = 20;

// How many of the first cells of an axis lie in the picture, which takes `size` of `padded` pixels.
i64 valid_cells(i64 cells, i64 size, i64 padded) {
  const scalar::ResizeAxis axis{padded, cells, ops::Interpolation::kNearest, false};
  i64 valid = 0;
  while (valid < cells && axis.weights<double, i64>(valid).first < size) ++valid;
  return valid;
}

// 1 for the tokens that are picture, 0 for those of padding, [N, S, 1]; undefined where there is no padding.
Tensor picture_tokens(const LevelSizes& levels, const std::vector<LevelSizes>& valid) {
  std::vector<float> keep;
  bool padding = false;
  for (const LevelSizes& picture : valid)
    for (size_t l = 0; l < levels.size(); ++l)
      for (i64 y = 0; y < levels[l].height; ++y)
        for (i64 x = 0; x < levels[l].width; ++x) {
          const bool inside = y < picture[l].height && x < picture[l].width;
          keep.push_back(inside ? 1.0F : 0.0F);
          padding = padding || !inside;
        }
  return padding ? Tensor::from(keep, {std::ssize(valid), std::ssize(keep) / std::ssize(valid), 1}) : Tensor();
}

}  // namespace

DeformEncoder::DeformEncoder(const NeckConfig& config, i64 levels, Random& random)
    : channels_(config.channels), level_embed_(Tensor::empty({levels, config.channels}), true) {
  nn::init_normal(level_embed_, 1, random);
  for (i64 i = 0; i < config.layers; ++i)
    layers_.emplace_back(EncoderLayerConfig{.attention = {.channels = config.channels,
                                                          .heads = config.heads,
                                                          .levels = levels,
                                                          .points = config.points},
                                            .ffn = config.ffn,
                                            .names = EncoderLayerConfig::Names::kMmcv},
                         random);
}

std::vector<Var> DeformEncoder::operator()(const std::vector<Var>& maps, const std::vector<ImageSize>& sizes,
                                           ImageSize padded) const {
  const nn::Running running(*this);
  TESSERA_CHECK(std::ssize(sizes) == maps[0].dim(0), "deform encoder: the sizes of {} pictures for {} of a batch",
                sizes.size(), maps[0].dim(0));
  const LevelSizes levels = sizes_of(maps);
  std::vector<LevelSizes> valid;  // of each picture
  for (const auto& [height, width] : sizes) {
    LevelSizes& picture = valid.emplace_back();
    for (const ops::LevelSize& level : levels)
      picture.push_back(
          {valid_cells(level.height, height, padded.height), valid_cells(level.width, width, padded.width)});
  }

  Var tokens = tokens_of(maps);  // [N, S, C]
  const Device device = tokens.value().device();
  std::vector<Var> parts;
  for (size_t l = 0; l < levels.size(); ++l) {
    LevelSizes pictures;
    for (const LevelSizes& picture : valid) pictures.push_back(picture[l]);
    const Var sine(sine_positions(levels[l], pictures, channels_, kTemperature, device));  // [N, h w, C]
    parts.push_back(sine + slice(level_embed_, 0, static_cast<i64>(l), static_cast<i64>(l) + 1));
  }
  const Var positions = cast(concat(parts, 1), tokens.value().dtype());  // [N, S, C]
  nn::keep("positions", positions);
  const Var reference(reference_points(levels, valid).to(device));  // [N, S, L, 2]
  Tensor keep = picture_tokens(levels, valid);                      // [N, S, 1]
  if (keep) keep = keep.to(device);
  for (const EncoderLayer& layer : layers_) tokens = layer(tokens, positions, reference, levels, keep);
  return maps_of(tokens, levels);
}

void DeformEncoder::visit(nn::Visitor& v) {
  v.parameter("lvl_embed", level_embed_);
  for (size_t i = 0; i < layers_.size(); ++i) v.child(fmt::format("encoder.layers.{}", i), layers_[i]);
}

DeformEncoderNeck::DeformEncoderNeck(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random)
    : Neck(config, in), encoder_(config, std::ssize(levels()), random) {
  const auto map = [&](const std::string& name, i64 channels, i64 kernel, i64 stride) {
    mapper_.emplace_back(name + ".conv", name + ".gn",
                         nn::Conv2dConfig{.in = channels,
                                          .out = config.channels,
                                          .kernel = kernel,
                                          .stride = stride,
                                          .padding = kernel / 2,
                                          .bias = false,
                                          .init = nn::Init::kC2Msra},
                         random);
  };
  for (size_t k = 0; k < in.size(); ++k) map(fmt::format("in_proj.convs.{}", k), in[k].channels, 1, 1);
  for (size_t k = 0; k < levels().size() - in.size(); ++k)
    map(fmt::format("in_proj.extra_convs.{}", k), k == 0 ? in.back().channels : config.channels, 3, 2);
}

std::vector<Var> DeformEncoderNeck::operator()(const std::vector<Var>& maps, const std::vector<ImageSize>& sizes,
                                               ImageSize padded) {
  const nn::Running running(*this);
  std::vector<Var> mapped;
  for (size_t k = 0; k < mapper_.size(); ++k)
    mapped.push_back(mapper_[k](k < maps.size() ? maps[k] : k == maps.size() ? maps.back() : mapped.back()));
  return encoder_(mapped, sizes, padded);  // [N, h, w, C]
}

void DeformEncoderNeck::visit(nn::Visitor& v) {
  for (ConvGroupNorm& map : mapper_) v.child("", map);
  v.child("deform_encoder", encoder_);
}

}  // namespace tessera
