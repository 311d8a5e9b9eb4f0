#include "cli/activation_maps.h"

#include "autograd/arrange.h"
#include "autograd/interpolate.h"

namespace tessera {

namespace {

Var resized(const Var& x, ImageSize size) {
  return interpolate(x, size.height, size.width, ops::Interpolation::kBilinear);
}

}  // namespace

void check_activation_maps(const Segmenter& model, const char* who) {
  TESSERA_CHECK(model.activation_map_count() > 0, "{}: the model has no activation maps", who);
}

ActivationMaps::ActivationMaps(Segmenter& model, const Batch& batch)
    : maps_(model.activation_maps(batch).to_host()), padded_(batch.padded), picture_(batch.size_of(0)) {}

Tensor ActivationMaps::map(i64 query, ImageSize size) const {
  const NoGrad no_grad;
  Var x = resized(slice(Var(maps_), 3, query, query + 1), padded_);
  x = slice(slice(x, 1, 0, picture_.height), 2, 0, picture_.width);
  return resized(x, size).value().reshape({size.height, size.width});
}

}  // namespace tessera
