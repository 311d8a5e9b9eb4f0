// y = project(depthwise(expand(x))) + residual, a strip of rows at a time. The maps between are several times as wide
// as x and y: as wholes they would go to memory and come back twice. Here they stay in the second-level cache:
//
//   x -> expanded: the last rows of the map that expand makes, row h in place h % ring   [ring, W, wide]
//     -> filtered: what depthwise makes of them                                          [strip, Wo, wide]
//     -> y         by project                                                            [strip, Wo, Co]
//
// A task is a band of rows of one image, so that each expanded row is made once, except those that two bands see: both
// make them. There are as many bands as the threads need to have equal parts. Every element is one sum in one order
// wherever its band begins: the bits depend on the shapes and the SIMD level only.
#include "ops/inverted_residual.h"

#include <omp.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "ops/cpu/depthwise.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/round.h"

namespace tessera::ops {
namespace {

constexpr i64 kBytes = 640 << 10;  // of expanded and filtered rows, more only where a strip of one row needs it

// A 1x1 convolution: C = act(A B + bias + residual) for rows that are given by pointers, on the calling thread.
template <class T>
struct Product {
  i64 depth, columns;
  const T* b;
  std::vector<T> bias;  // up to whole vectors
  Activation activation;

  Product(const Conv2dDims& dims, const PackedConv2d& packed)
      : depth(dims.Ci),
        columns(dims.Co),
        b(cpu::packed_panels(packed.form.data<T>())),
        activation(packed.params.activation) {
    bias.resize(static_cast<size_t>(padded()));
    if (packed.bias.defined()) std::copy_n(packed.bias.data<T>(), columns, bias.data());
  }

  i64 padded() const { return cpu::round_up(columns, simd::gemm_kernels.get<T>().lanes); }

  void operator()(i64 rows, const T* const* a, T* const* c, const T* const* residual) const {
    const i64 piece = cpu::depth_piece<T>(depth);
    for (i64 k = 0; k < depth; k += piece) {
      const i64 length = std::min(piece, depth - k);
      const bool finish = k + length == depth;
      simd::gemm_kernels.get<T>().block({.rows = rows,
                                         .columns = columns,
                                         .a_rows = a,
                                         .run_offset = k,
                                         .run_depth = length,
                                         .b = b + k * padded(),
                                         .panel_stride = simd::gemm_kernels.get<T>().panel_columns * length,
                                         .c_rows = c,
                                         .accumulate = k > 0,
                                         .bias = finish ? bias.data() : nullptr,
                                         .residual_rows = finish ? residual : nullptr,
                                         .relu = finish && activation != Activation::kNone,
                                         .ceiling = cpu::ceiling_of<T>(activation)});
    }
  }
};

template <class T>
struct Block {
  const Conv2dDims& d;  // of the depthwise convolution: x's or the expanded map [N, H, W, wide] -> [N, Ho, Wo, wide]
  i64 Ci, Co;
  const T *x, *residual;
  T* y;
  std::optional<Product<T>> expand;
  Product<T> project;
  const PackedConv2d& depthwise;
  cpu::Patches patches;
  i64 strip, ring;  // rows

  Block(const InvertedResidualDims& dims, const Tensor& input, const PackedInvertedResidual& packed,
        const Tensor& added, Tensor& output)
      : d(dims.depthwise),
        Ci(input.dim(3)),
        Co(output.dim(3)),
        x(input.data<T>()),
        residual(added.defined() ? added.data<T>() : nullptr),
        y(output.data<T>()),
        project(dims.project, packed.project),
        depthwise(packed.depthwise),
        patches(cpu::forward_patches(dims.depthwise)) {
    if (packed.expand) expand.emplace(dims.expand, *packed.expand);
    // Pixels in whole tiles of the matrix product, if there is room for so many rows.
    strip = cpu::kTileRows / std::gcd(d.Wo, cpu::kTileRows);
    while (strip > 1 && memory() * static_cast<i64>(sizeof(T)) > kBytes) --strip;
    ring = rows_seen(strip);
  }

  i64 rows_seen(i64 rows) const { return (rows - 1) * d.stride + (d.Kh - 1) * d.dilation + 1; }
  i64 expanded_size() const { return expand ? rows_seen(strip) * d.W * d.Ci : 0; }
  i64 memory() const { return expanded_size() + strip * d.Wo * d.Co; }  // elements, of a thread

  // Rows [begin, end) of y of image n.
  void band(i64 n, i64 begin, i64 end, T* expanded) const {
    T* const filtered = expanded + expanded_size();
    const T* const image = x + n * d.H * d.W * Ci;
    const auto row_of = [&](i64 h) { return expand ? expanded + h % ring * d.W * d.Ci : image + h * d.W * Ci; };
    std::vector<const T*> from, added;
    std::vector<T*> to;
    cpu::RowPositions<T> inside;
    std::vector<const T*> weights;

    i64 next = std::max<i64>(0, begin * d.stride - d.padding);  // the first row that has not been expanded
    for (i64 first = begin; first < end; first += strip) {
      const i64 rows = std::min(strip, end - first);
      const i64 seen = std::min(d.H, first * d.stride - d.padding + rows_seen(rows));
      if (expand && next < seen) {
        from.clear(), to.clear();
        for (i64 h = next; h < seen; ++h)
          for (i64 w = 0; w < d.W; ++w) {
            from.push_back(image + (h * d.W + w) * Ci);
            to.push_back(expanded + (h % ring * d.W + w) * d.Ci);
          }
        (*expand)(static_cast<i64>(to.size()), from.data(), to.data(), nullptr);
        next = seen;
      }
      for (i64 row = 0; row < rows; ++row) filter(inside, weights, first + row, row_of, filtered + row * d.Wo * d.Co);

      const i64 pixel = (n * d.Ho + first) * d.Wo, pixels = rows * d.Wo;
      from.clear(), to.clear(), added.clear();
      for (i64 i = 0; i < pixels; ++i) {
        from.push_back(filtered + i * d.Co);
        to.push_back(y + (pixel + i) * Co);
        if (residual) added.push_back(residual + (pixel + i) * Co);
      }
      project(pixels, from.data(), to.data(), residual ? added.data() : nullptr);
    }
  }

  template <class RowOf>
  void filter(cpu::RowPositions<T>& inside, std::vector<const T*>& weights, i64 row, RowOf row_of, T* out) const {
    const simd::DepthwiseRow<T> line = inside.set(patches, row, row_of);
    weights.clear();
    for (const i64 position : inside.index) weights.push_back(depthwise.form.data<T>() + position * d.Ci);
    const Activation activation = depthwise.params.activation;
    simd::depthwise_kernels.get<T>().forward(line,
                                             {.out = out,
                                              .pitch = d.Co,
                                              .weights = weights.data(),
                                              .bias = depthwise.bias.defined() ? depthwise.bias.data<T>() : nullptr,
                                              .residual = nullptr,
                                              .relu = activation != Activation::kNone,
                                              .ceiling = cpu::ceiling_of<T>(activation)});
  }

  void run() const {
    const i64 threads = omp_get_max_threads();
    const i64 bands = std::min(d.Ho, threads / std::gcd(threads, std::max<i64>(1, d.N)));  // of an image
    Tensor workspace = Tensor::empty({threads, memory()}, kDTypeOf<T>);
    T* const first = workspace.data<T>();
#pragma omp parallel for schedule(static) if (threads > 1)
    for (i64 task = 0; task < d.N * bands; ++task) {
      const i64 n = task / bands, index = task % bands;
      band(n, d.Ho * index / bands, d.Ho * (index + 1) / bands, first + omp_get_thread_num() * memory());
    }
  }
};

// Lower maps fit the caches as wholes, and the rows that neighbouring threads both make would be too many of all.
constexpr i64 kFewestRows = 16;

// Whether the weight lies in the panels that Product reads.
bool in_panels(const PackedConv2d& packed) {
  return packed.form.defined() && !packed.winograd &&
         dispatch_float(packed.form.dtype(), "inverted_residual_packed",
                        [&]<class T>() { return cpu::packed_panels(packed.form.data<T>()) != nullptr; });
}

void inverted_residual_packed_cpu(const InvertedResidualDims& dims, const Tensor& x,
                                  const PackedInvertedResidual& packed, const Tensor& residual, Tensor& y) {
  const bool strips = dims.depthwise.Ci > 1 && dims.project.Ho >= kFewestRows &&
                      (!packed.expand || in_panels(*packed.expand)) && in_panels(packed.project);
  if (!strips) return inverted_residual_in_turn(dims, x, packed, residual, y);
  dispatch_float(x.dtype(), "inverted_residual_packed",
                 [&]<class T>() { Block<T>(dims, x, packed, residual, y).run(); });
}

const bool kAdded = inverted_residual_packed_kernels.add(DeviceKind::kCpu, inverted_residual_packed_cpu);

}  // namespace
}  // namespace tessera::ops
