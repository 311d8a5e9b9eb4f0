#include "ops/ms_deform_attn.h"

#include "ops/checks.h"

namespace tessera::ops {

namespace {

constexpr i64 kMaxSide = 1 << 24;  // pixels of a level: up to here f32 tells neighbouring columns apart

void check_form(const char* op, const char* name, const Tensor& tensor, DType dtype, int rank, const char* form) {
  check_operand(op, name, tensor, dtype);
  TESSERA_CHECK(tensor.rank() == rank, "{}: {} must be {}, got {}", op, name, form, tensor.shape());
}

void check(const char* op, const Tensor& value, const std::vector<LevelSize>& levels, const Tensor& locations,
           const Tensor& attention) {
  check_form(op, "value", value, value.dtype(), 4, "[N, S, heads, d]");
  const DType exact = parameter_dtype(value.dtype());
  check_form(op, "sampling_locations", locations, exact, 6, "[N, Q, heads, L, P, 2]");
  check_form(op, "attention_weights", attention, exact, 5, "[N, Q, heads, L, P]");
  i64 tokens = 0;
  for (const LevelSize& level : levels) {
    TESSERA_CHECK(level.height > 0 && level.width > 0 && level.height <= kMaxSide && level.width <= kMaxSide,
                  "{}: a level of {} x {} pixels; each side must lie in 1 to {}", op, level.height, level.width,
                  kMaxSide);
    tokens += level.height * level.width;
  }
  TESSERA_CHECK(!levels.empty() && tokens == value.dim(1), "{}: the {} levels have {} pixels, value has {} tokens: {}",
                op, levels.size(), tokens, value.dim(1), value.shape());
  TESSERA_CHECK(value.dim(2) > 0, "{}: value has no heads: {}", op, value.shape());
  const Shape expected{value.dim(0), attention.dim(1), value.dim(2), static_cast<i64>(levels.size()), attention.dim(4)};
  TESSERA_CHECK(attention.shape() == expected, "{}: attention_weights must be {}, got {}; value {}", op, expected,
                attention.shape(), value.shape());
  Shape with_coordinates = expected;
  with_coordinates.append(2);
  check_shape(op, "sampling_locations", locations, with_coordinates);
}

Shape result_shape(const Tensor& value, const Tensor& attention) {
  return {value.dim(0), attention.dim(1), value.dim(2) * value.dim(3)};
}

}  // namespace

Tensor ms_deform_attn(const Tensor& value, const std::vector<LevelSize>& levels, const Tensor& sampling_locations,
                      const Tensor& attention_weights) {
  check("ms_deform_attn", value, levels, sampling_locations, attention_weights);
  Tensor y = Tensor::empty(result_shape(value, attention_weights), value.dtype(), value.device());
  ms_deform_attn_kernels(value, levels, sampling_locations, attention_weights, y);
  return y;
}

MsDeformAttnGradients ms_deform_attn_backward(const Tensor& gy, const Tensor& value,
                                              const std::vector<LevelSize>& levels, const Tensor& sampling_locations,
                                              const Tensor& attention_weights) {
  check("ms_deform_attn_backward", value, levels, sampling_locations, attention_weights);
  check_operand("ms_deform_attn_backward", "gy", gy, value.dtype(), result_shape(value, attention_weights));
  MsDeformAttnGradients g{.value = empty_like(value),
                          .sampling_locations = empty_like(sampling_locations),
                          .attention_weights = empty_like(attention_weights)};
  ms_deform_attn_backward_kernels(gy, value, levels, sampling_locations, attention_weights, g.value,
                                  g.sampling_locations, g.attention_weights);
  return g;
}

}  // namespace tessera::ops
