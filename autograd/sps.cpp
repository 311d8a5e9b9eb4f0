#include "autograd/sps.h"

#include "autograd/arrange.h"
#include "ops/arrange.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera {

Sps sps_dense(const Var& x, const Tensor& image, const Tensor& level) {
  TESSERA_CHECK(x.rank() == 4 && x.dim(1) == x.dim(2) && image.defined() && x.dim(0) == image.numel(),
                "sps_dense: x must be [R, S, S, F] with an image for each of the R grids, got {}", x.shape());
  const ops::SpsStructure structure = ops::sps_dense(x.dim(1), image, level);
  return {structure, reshape(x, {structure.active(), x.dim(3)}),
          Var(Tensor::zeros({0, x.dim(3)}, x.value().dtype(), x.value().device()))};
}

Sps sps_select(const Sps& sps, const Tensor& mask) {
  const ops::SpsSelection selection = ops::sps_select(sps.structure, mask);
  return {selection.structure, gather_rows(sps.active, selection.kept),
          concat({sps.passive, gather_rows(sps.active, selection.dropped)}, 0)};
}

Sps sps_upsample(const Sps& sps, const Var& children) {
  const ops::SpsStructure structure = ops::sps_upsample(sps.structure);
  TESSERA_CHECK(children.rank() == 2 && children.dim(0) == structure.active(),
                "sps_upsample: the children must be [{}, F], got {}", structure.active(), children.shape());
  return {structure, children, sps.passive};
}

Var sps_repeat(const Var& x) {
  const i64 N = x.dim(0), F = x.dim(1);
  const Tensor y = ops::broadcast_to(x.value().reshape({N, 1, F}), {N, 4, F}).reshape({4 * N, F});
  return record("sps_repeat", y, {x}, [N, F](const Tensor& gy, Gradients& gradients) {
    gradients.add(0, ops::sum(gy.reshape({N, 4, F}), {1}, false));
  });
}

// y is kept for the activation's gradient, and only for it.
Var sps_conv2d(const ops::SpsNeighbours& neighbours, const Var& active, const Var& passive, const Var& weight,
               const Var& bias, ops::Activation activation) {
  const Tensor y =
      ops::sps_conv2d(neighbours, active.value(), passive.value(), weight.value(), bias.value(), activation);
  const Tensor kept_y = activation == ops::Activation::kNone ? Tensor() : y;
  return record(
      "sps_conv2d", y, {active, passive, weight, bias},
      [=, a = active.value(), p = passive.value(), w = weight.value()](const Tensor& gradient, Gradients& gradients) {
        const Tensor gy = ops::activation_backward(gradient, kept_y, activation);
        const ops::SpsGradientsWanted wanted{gradients.needs(0) || gradients.needs(1), gradients.needs(2)};
        if (wanted.features || wanted.weight) {
          const ops::SpsGradients g = ops::sps_conv2d_backward(neighbours, gy, a, p, w, wanted);
          if (wanted.features) {
            gradients.add(0, g.active);
            gradients.add(1, g.passive);
          }
          if (wanted.weight) gradients.add(2, g.weight);
        }
        if (gradients.needs(3)) gradients.add(3, ops::column_sum(gy));
      });
}

// The sampled places depend on the features and the offsets alike: their gradients come from one pass.
Var sps_deform_conv2d(const ops::SpsStructure& structure, const Var& active, const Var& passive, const Var& offset,
                      const Var& weight, const Var& bias) {
  const Tensor y =
      ops::sps_deform_conv2d(structure, active.value(), passive.value(), offset.value(), weight.value(), bias.value());
  return record("sps_deform_conv2d", y, {active, passive, offset, weight, bias},
                [=, a = active.value(), p = passive.value(), o = offset.value(), w = weight.value()](
                    const Tensor& gy, Gradients& gradients) {
                  if (gradients.needs(0) || gradients.needs(1) || gradients.needs(2)) {
                    const ops::SpsDeformGradients g =
                        ops::sps_deform_conv2d_backward_features(structure, gy, a, p, o, w);
                    gradients.add(0, g.active);
                    gradients.add(1, g.passive);
                    gradients.add(2, g.offset);
                  }
                  if (gradients.needs(3))
                    gradients.add(3, ops::sps_deform_conv2d_backward_weight(structure, gy, a, p, o, w.shape()));
                  if (gradients.needs(4)) gradients.add(4, ops::column_sum(gy));
                });
}

Var sps_overwrite(const Var& map, const Var& values, const ops::SpsStructure& structure) {
  const Tensor y = ops::sps_overwrite(map.value(), values.value(), structure);
  return record("sps_overwrite", y, {map, values}, [structure](const Tensor& gy, Gradients& gradients) {
    const i64 C = gy.dim(3);
    if (gradients.needs(0)) {
      const Tensor zeros = Tensor::zeros({structure.active(), C}, gy.dtype(), gy.device());
      gradients.add(0, ops::sps_overwrite(gy, zeros, structure));
    }
    if (gradients.needs(1)) {
      const i64 cells = structure.index_map.numel();
      gradients.add(1, ops::gather_rows(gy.reshape({cells, C}), ops::sps_rows(structure)));
    }
  });
}

}  // namespace tessera
