// Rows times factors in CUDA, all tensors of one pair of element types in one launch or a few
// (ops/cuda/tensor_table.h). Memory limits it: 8 bytes per element from f32 to f32, 6 where one of them is bf16.
#include <vector>

#include "ops/cuda/divider.h"
#include "ops/cuda/tensor_table.h"
#include "ops/scale_rows.h"

namespace tessera {

namespace {

using namespace cuda;

template <class To, class From>
struct Rows {
  i64 count;
  To* target;
  const From* source;
  const float* scale;  // null: 1
  Divider columns;     // of a row
  bool accumulate;
};

template <class To, class From>
__global__ void scale_rows_kernel(TensorTable<Rows<To, From>> table) {
  const auto [t, begin, end] = table.share();
  using Narrow = std::conditional_t<sizeof(To) < sizeof(From), To, From>;  // 16 bytes of it
  each_piece<Narrow>(begin, end, {t.target, t.source}, [&]<int kWidth>(i64 i) {
    auto values = Channels<kWidth>::load(t.source + i);
    if (t.scale)
      for (int j = 0; j < kWidth; ++j) values.value[j] *= t.scale[(static_cast<u32>(i) + j) / t.columns];
    if (t.accumulate) values.add(1, Channels<kWidth>::load(t.target + i));
    values.store(t.target + i);
  });
}

// The entries of these two types.
template <class To, class From>
void scale_rows_between(std::span<ops::ScaledRows> list) {
  std::vector<Rows<To, From>> rows;
  for (ops::ScaledRows& entry : list) {
    const i64 count = entry.target.numel();
    if (entry.target.dtype() != kDTypeOf<To> || entry.source.dtype() != kDTypeOf<From> || count == 0) continue;
    TESSERA_CHECK(count <= INT32_MAX, "scale_rows: {} has more than 2^31 - 1 elements", entry.target.shape());
    const i64 columns = entry.scale.defined() ? count / entry.target.dim(0) : count;
    rows.push_back({count, entry.target.device_data<To>(), entry.source.device_data<From>(), data_or_null(entry.scale),
                    columns, entry.accumulate});
  }
  if (rows.empty()) return;
  for_each_table(std::span<const Rows<To, From>>(rows),
                 [&](const auto& table, const Launch& shape) { launch<scale_rows_kernel<To, From>>(shape, table); });
}

void scale_rows_cuda(std::span<ops::ScaledRows> list, Tensor&) {
  for (const ops::ScaledRows& entry : list)
    for (const DType dtype : {entry.target.dtype(), entry.source.dtype()})
      TESSERA_CHECK(dtype == DType::kF32 || dtype == DType::kBF16,
                    "scale_rows: dtype {} is not supported on {}, use f32 or bf16", name_of(dtype),
                    entry.target.device());
  scale_rows_between<float, float>(list);
  scale_rows_between<BFloat16, float>(list);
  scale_rows_between<float, BFloat16>(list);
  scale_rows_between<BFloat16, BFloat16>(list);
}

[[maybe_unused]] const bool kAdded = ops::scale_rows_kernels.add(kDevice, scale_rows_cuda);

}  // namespace

}  // namespace tessera
