#include "nn/attention.h"

#include <cmath>

#include "autograd/arrange.h"
#include "autograd/matmul.h"
#include "autograd/pointwise.h"
#include "autograd/softmax.h"
#include "nn/init.h"
#include "nn/profile.h"
#include "ops/dtypes.h"

namespace tessera::nn {

namespace {

void check(const char* name, const Var& x, i64 N, i64 P, i64 E) {
  TESSERA_CHECK(x.defined() && x.rank() == 3 && x.dim(0) == N && x.dim(1) == P && x.dim(2) == E,
                "attention: {} must be [{}, {}, {}], got {}", name, N, P, E, x.shape());
}

// [N, P, E] -> [N H, P, D]
Var split_heads(const Var& x, i64 heads) {
  const i64 N = x.dim(0), P = x.dim(1), D = x.dim(2) / heads;
  return reshape(permute(reshape(x, {N, P, heads, D}), {0, 2, 1, 3}), {N * heads, P, D});
}

}  // namespace

Var attend(const Var& query, const Var& key, const Var& value, i64 heads) {
  TESSERA_CHECK(query.defined() && query.rank() == 3, "attention: the query must be [N, Q, E], got {}", query.shape());
  TESSERA_CHECK(key.defined() && key.rank() == 3, "attention: the key must be [N, K, E], got {}", key.shape());
  const i64 N = query.dim(0), Q = query.dim(1), E = query.dim(2), K = key.dim(1);
  TESSERA_CHECK(heads >= 1 && E % heads == 0, "attention: {} channels cannot be split into {} heads", E, heads);
  check("key", key, N, K, E);
  check("value", value, N, K, E);
  TESSERA_CHECK(K > 0 || Q == 0, "attention: no keys for {} queries; the softmax over nothing is not defined", Q);
  const double scale = 1 / std::sqrt(static_cast<double>(E / heads));
  const Var q = split_heads(query * scale, heads), k = split_heads(key, heads), v = split_heads(value, heads);
  const Var scores = matmul(q, k, ops::Transpose::kSecond);  // [N H, Q, K]
  const DType dtype = scores.value().dtype();
  const Var weights = cast(softmax(cast(scores, ops::parameter_dtype(dtype)), 2), dtype);  // softmax stays f32
  const Var seen = matmul(weights, v);                                                     // [N H, Q, D]
  return reshape(permute(reshape(seen, {N, heads, Q, E / heads}), {0, 2, 1, 3}), {N, Q, E});
}

MultiheadAttention::MultiheadAttention(i64 width, i64 heads, Random& random)
    : in_proj_weight(Tensor::empty({3 * width, width}), true),
      in_proj_bias(Tensor::zeros({3 * width}), true),
      out_proj(width, width, random),
      heads_(heads) {
  TESSERA_CHECK(heads > 0 && width % heads == 0, "attention: {} channels cannot be split into {} heads", width, heads);
  init_xavier_uniform(in_proj_weight, 1, random);
  init_constant(out_proj.bias, 0);
}

Var MultiheadAttention::operator()(const Var& query, const Var& key, const Var& value) const {
  const Running running(*this);
  const i64 E = out_proj.weight.dim(0);
  const auto project = [&](const Var& x, i64 part) {
    return linear(x, slice(for_input(in_proj_weight, x), 0, part * E, (part + 1) * E),
                  slice(for_input(in_proj_bias, x), 0, part * E, (part + 1) * E));
  };
  return out_proj(attend(project(query, 0), project(key, 1), project(value, 2), heads_));
}

void MultiheadAttention::visit(Visitor& v) {
  v.parameter("in_proj_weight", in_proj_weight);
  v.parameter("in_proj_bias", in_proj_bias);
  v.child("out_proj", out_proj);
}

}  // namespace tessera::nn
