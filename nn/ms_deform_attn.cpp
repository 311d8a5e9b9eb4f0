#include "nn/ms_deform_attn.h"

#include <cmath>
#include <numbers>

#include "autograd/arrange.h"
#include "autograd/matmul.h"
#include "autograd/pointwise.h"
#include "autograd/softmax.h"
#include "nn/init.h"
#include "nn/profile.h"
#include "ops/dtypes.h"
#include "ops/work.h"

namespace tessera::nn {

namespace {

// ms_deform_attn of projection(tokens), whose channels are shared among M heads -> [N, Q, C]. The sampling is linear,
// so each head may as well sample the tokens and project what it sees: with W_m, b_m the rows of head m,
//
//   sum_s a_s (W_m x(p_s) + b_m [p_s inside]) = W_m (sum_s a_s x(p_s)) + b_m sum_s a_s [p_s inside]
//
// Then no token is projected that nobody looks at. The published counts are those of the usual order.
Var project_samples(const Linear& projection, const Var& tokens, const std::vector<ops::LevelSize>& levels,
                    const Var& locations, const Var& weights) {
  const Running running(projection);
  const i64 N = tokens.dim(0), S = tokens.dim(1), C = tokens.dim(2), Q = weights.dim(1), M = weights.dim(2),
            L = weights.dim(3), K = weights.dim(4), D = C / M;
  const Var places = reshape(locations, {N, Q * M, 1, L, K, 2}), shares = reshape(weights, {N, Q * M, 1, L, K});
  const Var seen = ms_deform_attn(reshape(tokens, {N, S, 1, C}), levels, places, shares);  // [N, Q M, C]
  const Tensor ones = Tensor::full({N, S, 1, 1}, 1, tokens.value().dtype(), tokens.value().device());
  const Var inside = ms_deform_attn(Var(ones), levels, places, shares);  // [N, Q M, 1]
  const auto by_head = [&](const Var& x) { return permute(reshape(x, {N * Q, M, x.dim(2)}), {1, 0, 2}); };
  const Var weight = reshape(for_input(projection.weight, tokens), {M, D, C});
  const Var bias = reshape(for_input(projection.bias, tokens), {M, 1, D});
  const Var heads = matmul(by_head(seen), weight, ops::Transpose::kSecond) + by_head(inside) * bias;  // [M, N Q, D]
  const i64 usual = N * S * C * C + 5 * L * K * N * Q * C, ours = N * Q * C * C + 5 * L * K * N * Q * M * (C + 1);
  note_work("linear", {0, usual - ours}, {N, S, C});
  return reshape(permute(heads, {1, 0, 2}), {N, Q, C});
}

}  // namespace

// At first all weights are equal and head m looks along the direction 2 pi m / M, at distances 1 to K on the square
// around the reference.
MsDeformAttn::MsDeformAttn(const MsDeformAttnConfig& c, Random& random) : config_(c) {
  TESSERA_CHECK(c.heads > 0 && c.levels > 0 && c.points > 0 && c.channels > 0 && c.channels % c.heads == 0,
                "MsDeformAttn: {} channels cannot be split into {} heads ({} levels, {} points)", c.channels, c.heads,
                c.levels, c.points);
  const i64 samples = c.heads * c.levels * c.points;
  sampling_offsets = Linear(c.channels, samples * 2, random);
  attention_weights = Linear(c.channels, samples, random);
  value_proj = Linear(c.channels, c.channels, random);
  output_proj = Linear(c.channels, c.channels, random);
  for (Linear* layer : {&sampling_offsets, &attention_weights}) init_constant(layer->weight, 0);
  for (Linear* layer : {&attention_weights, &value_proj, &output_proj}) init_constant(layer->bias, 0);
  for (Linear* layer : {&value_proj, &output_proj}) init_xavier_uniform(layer->weight, 1, random);
  float* bias = sampling_offsets.bias.value().data<float>();
  for (i64 m = 0; m < c.heads; ++m) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(m) / static_cast<double>(c.heads);
    const double x = std::cos(angle), y = std::sin(angle), longer = std::max(std::abs(x), std::abs(y));
    for (i64 l = 0; l < c.levels; ++l)
      for (i64 k = 0; k < c.points; ++k) {
        *bias++ = static_cast<float>(x / longer * static_cast<double>(k + 1));
        *bias++ = static_cast<float>(y / longer * static_cast<double>(k + 1));
      }
  }
}

// offsets [N, Q, M, L, K, 2] -> the same shape, in [0, 1]
Var MsDeformAttn::locations(const Var& offsets, const Var& reference, const std::vector<ops::LevelSize>& levels) const {
  const i64 N = reference.dim(0), Q = reference.dim(1), L = reference.dim(2);
  const auto spread = [&](const Var& part) { return reshape(part, {N, Q, 1, L, 1, 2}); };
  if (reference.dim(3) == 4) {
    const Var size = spread(slice(reference, 3, 2, 4));
    return spread(slice(reference, 3, 0, 2)) + offsets * (size * (0.5 / static_cast<double>(config_.points)));
  }
  std::vector<float> pixels;
  for (const ops::LevelSize& level : levels) {
    pixels.push_back(1 / static_cast<float>(level.width));
    pixels.push_back(1 / static_cast<float>(level.height));
  }
  const Tensor size = Tensor::from(pixels, {config_.levels, 1, 2});
  return spread(reference) + offsets * Var(size.to(offsets.value().dtype()).to(offsets.value().device()));
}

Var MsDeformAttn::operator()(const Var& query, const Var& reference, const Var& tokens,
                             const std::vector<ops::LevelSize>& levels, const Tensor& keep) const {
  const Running running(*this);
  const MsDeformAttnConfig& c = config_;
  TESSERA_CHECK(query.rank() == 3 && tokens.rank() == 3 && query.dim(0) == tokens.dim(0),
                "MsDeformAttn: query {} and tokens {} must be [N, Q, C] and [N, S, C]", query.shape(), tokens.shape());
  TESSERA_CHECK(static_cast<i64>(levels.size()) == c.levels, "MsDeformAttn: {} levels, the layer has {}", levels.size(),
                c.levels);
  const i64 N = query.dim(0), Q = query.dim(1), M = c.heads, L = c.levels, K = c.points;
  TESSERA_CHECK(reference.rank() == 4 && reference.dim(0) == N && reference.dim(1) == Q &&
                    (reference.dim(2) == L || reference.dim(2) == 1) &&
                    (reference.dim(3) == 2 || reference.dim(3) == 4),
                "MsDeformAttn: reference must be [{}, {}, {} or 1, 2 or 4], got {}", N, Q, L, reference.shape());
  const DType exact = ops::parameter_dtype(query.value().dtype());  // of positions and weights
  const Var offsets = cast(reshape(sampling_offsets(query), {N, Q, M, L, K, 2}), exact);
  const Var weights = softmax(cast(reshape(attention_weights(query), {N, Q, M, L * K}), exact), 3);  // [N, Q, M, L K]
  const Var places = locations(offsets, reference, levels), shares = reshape(weights, {N, Q, M, L, K});
  if (!keep && Q * (4 * L * K * M + c.channels) < tokens.dim(1) * c.channels)  // multiply-adds, without C
    return output_proj(project_samples(value_proj, tokens, levels, places, shares));
  Var value = value_proj(tokens);  // [N, S, C]
  if (keep) value = value * Var(keep.to(value.value().dtype()));
  value = reshape(value, {N, tokens.dim(1), M, c.channels / M});
  return output_proj(ms_deform_attn(value, levels, places, shares));  // [N, Q, C]
}

void MsDeformAttn::visit(Visitor& v) {
  const bool fqdet = config_.names == MsDeformAttnConfig::Names::kFqdet;
  v.child("sampling_offsets", sampling_offsets);
  v.child(fqdet ? "attn_weights" : "attention_weights", attention_weights);
  v.child(fqdet ? "val_proj" : "value_proj", value_proj);
  v.child(fqdet ? "out_proj" : "output_proj", output_proj);
}

}  // namespace tessera::nn
