// Multi-head attention (Vaswani et al. 2017, section 3.2).
//
// N image, Q query, K key, E width, H head, D = E / H
#pragma once

#include "nn/layers.h"

namespace tessera::nn {

// What the heads see: for each head, softmax over the keys of q k^T / sqrt(D), times v. The projections are the
// caller's. q [N, Q, E], k and v [N, K, E] -> [N, Q, E]; head h has the channels [h D, (h + 1) D). Under NoGrad nothing
// of size Q x K outlives the call.
Var attend(const Var& q, const Var& k, const Var& v, i64 heads);

// With the projections; names and initialisation are PyTorch's. The batch stands first, as with batch_first.
class MultiheadAttention : public Module {
 public:
  MultiheadAttention() = default;
  MultiheadAttention(i64 width, i64 heads, Random& random);
  Var operator()(const Var& query, const Var& key, const Var& value) const;  // [N, Q, E], [N, K, E] x 2 -> [N, Q, E]
  void visit(Visitor& v) override;
  Var in_proj_weight, in_proj_bias;  // [3E, E], [3E]: of query, key and value, one below the other
  Linear out_proj;

 private:
  i64 heads_ = 1;
};

}  // namespace tessera::nn
