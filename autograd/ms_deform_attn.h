// Differentiable multi-scale deformable attention; see ops/ms_deform_attn.h.
#pragma once

#include "autograd/var.h"
#include "ops/ms_deform_attn.h"

namespace tessera {

// value [N, S, heads, d], sampling_locations [N, Q, heads, L, P, 2], attention_weights [N, Q, heads, L, P]
// -> [N, Q, heads * d]
Var ms_deform_attn(const Var& value, const std::vector<ops::LevelSize>& levels, const Var& sampling_locations,
                   const Var& attention_weights);

}  // namespace tessera
