// Run lengths and scores of masks on the CPU; ops/mask_runs.h states the formulas. Threads share the masks. A mask is
// made taller first, which leaves every column of the small map at the picture's height; a column of the picture is a
// sum of those, and its edges are taken while it is in the cache.
#include "ops/mask_runs.h"

#include <algorithm>
#include <vector>

#include "ops/cpu/simd/masks.h"
#include "ops/cpu/simd/pointwise.h"
#include "ops/scalar/pointwise.h"

namespace tessera::ops {
namespace {

template <class T>
class Axis {
 public:
  Axis(const char* name, const Tensor& index, const Tensor& weight, i64 in)
      : out_(index.dim(0)), index_(index.data<i32>()), weight_(weight.data<T>()) {
    for (i64 i = 0; i < out_ * kAxisWeights; ++i)
      TESSERA_CHECK(index_[i] >= 0 && index_[i] < in, "mask_runs: {}.index is {} at {}, the maps have {} {}", name,
                    index_[i], i / kAxisWeights, in, name);
  }
  i64 out() const { return out_; }

  // Position o of the output: the weighted sum of lines of n values, of which `from` holds one per input position.
  void blend(i64 o, const T* from, i64 n, T* to) const {
    const T* lines[kAxisWeights];
    const T* weight = weight_ + o * kAxisWeights;
    i64 count = 0;
    for (; count < kAxisWeights && weight[count] != 0; ++count)
      lines[count] = from + index_[o * kAxisWeights + count] * n;
    if (count == 0)
      std::fill(to, to + n, T(0));
    else
      sum_(lines, weight, count, n, to);
  }

 private:
  i64 out_;
  const i32* index_;
  const T* weight_;
  simd::WeightedRows<T>* sum_ = simd::weighted_rows.get<T>();
};

bool wanted(const Tensor& kept, i64 mask) {
  return !kept.defined() || kept.data<u8>()[mask] != 0;
}

template <class T>
std::vector<T> probabilities_of(const Tensor& masks, i64 mask) {
  const i64 n = masks.dim(1) * masks.dim(2);
  std::vector<T> probabilities(static_cast<size_t>(n));
  simd::unary<scalar::Sigmoid>.template get<T>()(masks.data<T>() + mask * n, probabilities.data(), n);
  return probabilities;
}

// Where the runs end. map: one value per row and column of the small map, w columns.
template <class T>
std::vector<i32> ends_of(const std::vector<T>& map, i64 w, const Axis<T>& rows, const Axis<T>& columns, T threshold) {
  constexpr i64 kStrip = 16;  // rows that are turned together: a cache line of each column
  const i64 H = rows.out();
  std::vector<T> tall(static_cast<size_t>(w * H)), strip(static_cast<size_t>(kStrip * w));  // tall: column by column
  for (i64 y0 = 0; y0 < H; y0 += kStrip) {
    const i64 count = std::min(kStrip, H - y0);
    for (i64 y = 0; y < count; ++y) rows.blend(y0 + y, map.data(), w, strip.data() + y * w);
    for (i64 j = 0; j < w; ++j)
      for (i64 y = 0; y < count; ++y) tall[static_cast<size_t>(j * H + y0 + y)] = strip[static_cast<size_t>(y * w + j)];
  }
  const auto edges_of = simd::mask_edges.get<T>();
  std::vector<i32> ends;
  std::vector<T> column(static_cast<size_t>(H));
  std::vector<u32> edges(static_cast<size_t>(H));
  bool above = false;
  for (i64 x = 0; x < columns.out(); ++x) {
    columns.blend(x, tall.data(), H, column.data());
    i64 count = 0;
    edges_of(column.data(), threshold, H, static_cast<u32>(x * H), &above, edges.data(), &count);
    ends.insert(ends.end(), edges.begin(), edges.begin() + count);
  }
  ends.push_back(static_cast<i32>(H * columns.out()));
  return ends;
}

void mask_runs_cpu(const Tensor& masks, const Tensor& kept, const Tensor& row_index, const Tensor& row_weight,
                   const Tensor& column_index, const Tensor& column_weight, double threshold, i64 /*room*/,
                   Tensor& offsets, Tensor& ends) {
  dispatch_float(masks.dtype(), "mask_runs", [&]<class T>() {
    const i64 M = masks.dim(0);
    const Axis<T> rows("rows", row_index, row_weight, masks.dim(1));
    const Axis<T> columns("columns", column_index, column_weight, masks.dim(2));
    std::vector<std::vector<i32>> found(static_cast<size_t>(M));
#pragma omp parallel for schedule(dynamic) if (M > 1)
    for (i64 k = 0; k < M; ++k)
      if (wanted(kept, k))
        found[static_cast<size_t>(k)] =
            ends_of(probabilities_of<T>(masks, k), masks.dim(2), rows, columns, static_cast<T>(threshold));
    i64* offset = offsets.data<i64>();
    for (i64 k = 0; k < M; ++k) offset[k + 1] = offset[k] + std::ssize(found[static_cast<size_t>(k)]);
    ends = Tensor::empty({offset[M]}, DType::kI32);
    for (i64 k = 0; k < M; ++k) std::ranges::copy(found[static_cast<size_t>(k)], ends.data<i32>() + offset[k]);
  });
}

void maskness_cpu(const Tensor& masks, const Tensor& kept, double threshold, Tensor& y) {
  dispatch_float(masks.dtype(), "maskness", [&]<class T>() {
    const i64 M = masks.dim(0);
    T* out = y.data<T>();
#pragma omp parallel for schedule(dynamic) if (M > 1)
    for (i64 k = 0; k < M; ++k) {
      double sum = 0, count = 0;
      if (wanted(kept, k))
        for (const T p : probabilities_of<T>(masks, k))
          if (p > static_cast<T>(threshold)) {
            sum += static_cast<double>(p);
            count += 1;
          }
      out[k] = static_cast<T>(sum / (count + 1e-6));
    }
  });
}

const bool kAdded[] = {mask_runs_kernels.add(DeviceKind::kCpu, mask_runs_cpu),
                       maskness_kernels.add(DeviceKind::kCpu, maskness_cpu)};

}  // namespace
}  // namespace tessera::ops
