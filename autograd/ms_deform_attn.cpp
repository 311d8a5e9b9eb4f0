#include "autograd/ms_deform_attn.h"

namespace tessera {

// All three gradients come from the same corners: one pass gives them.
Var ms_deform_attn(const Var& value, const std::vector<ops::LevelSize>& levels, const Var& sampling_locations,
                   const Var& attention_weights) {
  return record("ms_deform_attn",
                ops::ms_deform_attn(value.value(), levels, sampling_locations.value(), attention_weights.value()),
                {value, sampling_locations, attention_weights},
                [value = value.value(), levels, locations = sampling_locations.value(),
                 attention = attention_weights.value()](const Tensor& gy, Gradients& gradients) {
                  const ops::MsDeformAttnGradients g =
                      ops::ms_deform_attn_backward(gy, value, levels, locations, attention);
                  gradients.add(0, g.value);
                  gradients.add(1, g.sampling_locations);
                  gradients.add(2, g.attention_weights);
                });
}

}  // namespace tessera
