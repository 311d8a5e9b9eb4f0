#include "models/necks/encoder_layer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "nn/init.h"
#include "nn/profile.h"
#include "ops/arrange.h"

namespace tessera {

LevelSizes sizes_of(const std::vector<Var>& maps) {
  LevelSizes levels;
  for (const Var& map : maps) levels.push_back({map.dim(1), map.dim(2)});
  return levels;
}

Var tokens_of(const std::vector<Var>& maps) {
  std::vector<Var> parts;
  for (const Var& map : maps) parts.push_back(reshape(map, {map.dim(0), map.dim(1) * map.dim(2), map.dim(3)}));
  return concat(parts, 1);
}

std::vector<Var> maps_of(const Var& tokens, const LevelSizes& levels) {
  std::vector<Var> maps;
  i64 begin = 0;
  for (const auto& [height, width] : levels) {
    maps.push_back(
        reshape(slice(tokens, 1, begin, begin + height * width), {tokens.dim(0), height, width, tokens.dim(2)}));
    begin += height * width;
  }
  return maps;
}

namespace {

// One axis of sine positions: values of the positions 0, 1, .. of each picture, and which of them each token has.
struct SineAxis {
  std::vector<float> table;
  std::vector<i64> rows;

  void append(i64 count, i64 features, double temperature) {
    for (i64 position = 0; position <= count; ++position)
      for (i64 j = 0; j < features; ++j) {
        const double e = 2 * std::numbers::pi * static_cast<double>(position) / (static_cast<double>(count) + 1e-6);
        const double angle = e / std::pow(temperature, static_cast<double>(j / 2 * 2) / static_cast<double>(features));
        table.push_back(static_cast<float>(j % 2 == 0 ? std::sin(angle) : std::cos(angle)));
      }
  }
  Tensor values(i64 features, Device device) const {  // [tokens, features]
    const Tensor positions = Tensor::from(table, {std::ssize(table) / features, features});
    return ops::gather_rows(positions.to(device), Tensor::from(rows).to(device));
  }
};

}  // namespace

Tensor sine_positions(const ops::LevelSize& level, const LevelSizes& valid, i64 channels, double temperature,
                      Device device) {
  TESSERA_CHECK(channels % 4 == 0, "sine positions: {} channels are no multiple of 4", channels);
  const i64 half = channels / 2, h = level.height, w = level.width;
  SineAxis rows, columns;
  for (const ops::LevelSize& picture : valid) {
    const i64 first_row = std::ssize(rows.table) / half, first_column = std::ssize(columns.table) / half;
    rows.append(picture.height, half, temperature);
    columns.append(picture.width, half, temperature);
    for (i64 y = 0; y < h; ++y)
      for (i64 x = 0; x < w; ++x) {
        rows.rows.push_back(first_row + (x < picture.width ? std::min(y + 1, picture.height) : 0));
        columns.rows.push_back(first_column + (y < picture.height ? std::min(x + 1, picture.width) : 0));
      }
  }
  const Tensor positions = ops::concat({rows.values(half, device), columns.values(half, device)}, 1);
  return positions.reshape({std::ssize(valid), h * w, channels});
}

Tensor reference_points(const LevelSizes& levels, const std::vector<LevelSizes>& valid) {
  std::vector<float> points;
  i64 tokens = 0;
  for (const ops::LevelSize& level : levels) tokens += level.height * level.width;
  for (const LevelSizes& picture : valid)
    for (size_t own = 0; own < levels.size(); ++own)
      for (i64 y = 0; y < levels[own].height; ++y)
        for (i64 x = 0; x < levels[own].width; ++x)
          for (size_t l = 0; l < levels.size(); ++l) {
            const auto place = [](i64 cell, i64 own_valid, i64 its_valid, i64 its_size) {
              return static_cast<float>((static_cast<double>(cell) + 0.5) / static_cast<double>(own_valid) *
                                        static_cast<double>(its_valid) / static_cast<double>(its_size));
            };
            points.push_back(place(x, picture[own].width, picture[l].width, levels[l].width));
            points.push_back(place(y, picture[own].height, picture[l].height, levels[l].height));
          }
  return Tensor::from(points, {std::ssize(valid), tokens, std::ssize(levels), 2});
}

EncoderLayer::EncoderLayer(const EncoderLayerConfig& config, Random& random)
    : names_(config.names),
      attention_(config.attention, random),
      norm1_(config.attention.channels),
      norm2_(config.attention.channels),
      linear1_(config.attention.channels, config.ffn, random, ops::Activation::kRelu),
      linear2_(config.ffn, config.attention.channels, random) {
  for (nn::Linear* layer : {&linear1_, &linear2_}) nn::init_xavier_uniform(layer->weight, 1, random);
}

Var EncoderLayer::operator()(const Var& tokens, const Var& positions, const Var& reference, const LevelSizes& levels,
                             const Tensor& keep) const {
  const nn::Running running(*this);
  const Var x = norm1_(tokens + attention_(tokens + positions, reference, tokens, levels, keep));  // [N, S, C]
  return norm2_(x + linear2_(linear1_(x)));                                                        // [N, S, C]
}

void EncoderLayer::visit(nn::Visitor& v) {
  const bool mmcv = names_ == EncoderLayerConfig::Names::kMmcv;
  v.child("self_attn", attention_);
  v.child(mmcv ? "norms.0" : "norm1", norm1_);
  v.child(mmcv ? "ffn.layers.0.0" : "linear1", linear1_);
  v.child(mmcv ? "ffn.layers.1" : "linear2", linear2_);
  v.child(mmcv ? "norms.1" : "norm2", norm2_);
}

}  // namespace tessera
