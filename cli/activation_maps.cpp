#include "cli/activation_maps.h"

#include <cmath>

#include "autograd/arrange.h"
#include "autograd/interpolate.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "autograd/softmax.h"
#include "models/batch_images.h"
#include "models/sparseinst/sparseinst.h"

namespace tessera {

namespace {

Var resized(const Var& x, ImageSize size) {
  return interpolate(x, size.height, size.width, ops::Interpolation::kBilinear);
}

sparseinst::SparseInst& with_maps(Segmenter& model, const char* who) {
  auto* sparseinst = dynamic_cast<sparseinst::SparseInst*>(&model);
  TESSERA_CHECK(sparseinst && !sparseinst->config().iam.cross_attention,
                "{}: the model has no instance activation maps", who);
  return *sparseinst;
}

}  // namespace

i64 activation_map_count(Segmenter& model, const char* who) {
  return with_maps(model, who).config().num_masks;
}

ActivationMaps::ActivationMaps(Segmenter& model, const Batch& batch, const char* who)
    : padded_(batch.padded), picture_(batch.size_of(0)) {
  sparseinst::SparseInst& sparseinst = with_maps(model, who);
  const sparseinst::Config& config = sparseinst.config();
  const NoGrad no_grad;
  const Var logits = sparseinst.forward(Var(batch_images(batch, model.device()))).maps;  // [1, h, w, G Q]
  const i64 h = logits.dim(1), w = logits.dim(2), Q = config.num_masks, G = config.iam.groups;
  const Var flat = reshape(logits, {h * w, G * Q});
  const Var active = config.iam.activation == sparseinst::IamActivation::kSoftmax ? softmax(flat, 0) : sigmoid(flat);
  maps_ = reshape(mean(reshape(active, {h * w, G, Q}), {1}), {1, h, w, Q}).value().to_host();
}

Tensor ActivationMaps::map(i64 query, ImageSize size) const {
  const NoGrad no_grad;
  Var x = resized(slice(Var(maps_), 3, query, query + 1), padded_);
  x = slice(slice(x, 1, 0, picture_.height), 2, 0, picture_.width);
  return resized(x, size).value().reshape({size.height, size.width});
}

}  // namespace tessera
