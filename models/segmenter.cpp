#include "models/segmenter.h"

namespace tessera {

Tensor Segmenter::activation_maps(const Batch& /*batch*/) {
  fail("activation maps: the model has none");
}

}  // namespace tessera
