// Differentiable operators on SPS features; see ops/sps.h, ops/sps_conv2d.h and ops/sps_deform_conv2d.h.
#pragma once

#include "autograd/var.h"
#include "ops/sps_deform_conv2d.h"

namespace tessera {

// A structure and the features that follow it.
struct Sps {
  ops::SpsStructure structure;
  Var active, passive;  // [N_A, F], [N_P, F]
};

// Every cell of the dense map x [R, S, S, F] is active. image and level: i64 [R], of each grid.
Sps sps_dense(const Var& x, const Tensor& image, const Tensor& level);

// The active rows whose mask (u8 [N_A]) is 0 become passive, behind the rows that are passive already.
Sps sps_select(const Sps& sps, const Tensor& mask);

// Twice the grid. children [4 N_A, F]: the features of the new active cells, 4 p + c for child c of row p.
Sps sps_upsample(const Sps& sps, const Var& children);

// x [N, F] -> [4 N, F], row p four times: what a child gets from its parent.
Var sps_repeat(const Var& x);

Var sps_conv2d(const ops::SpsNeighbours& neighbours, const Var& active, const Var& passive, const Var& weight,
               const Var& bias, ops::Activation activation = ops::Activation::kNone);
Var sps_deform_conv2d(const ops::SpsStructure& structure, const Var& active, const Var& passive, const Var& offset,
                      const Var& weight, const Var& bias);

// map [R, S, S, C] with the active cells replaced by values [N_A, C].
Var sps_overwrite(const Var& map, const Var& values, const ops::SpsStructure& structure);

}  // namespace tessera
