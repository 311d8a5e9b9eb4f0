// Y = A^T [ sum over channels of (G w G^T) * (B^T d B) ] A for every tile of 4 x 4 outputs, where d are the 6 x 6
// pixels it sees and * is elementwise. So for each of the 36 elements p
//
//   M[p] [tiles, Co] = V[p] [tiles, Ci]  U[p] [Ci, Co]        U = G w G^T (packed once), V = B^T d B
//
// A task takes a block of tiles: it transforms their pixels, then multiplies and transforms back 64 output channels
// at a time, so that V, M and the tile's results stay in the second-level cache. Where there are few blocks,
// all of V is made first, shared by the threads, and a task is a block's 64 output channels.
//
// Each element of M is one sum in one order, whatever the tasks: the bits depend on the shapes and the SIMD level only.
#include "ops/cpu/winograd.h"

#include <omp.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "ops/cpu/winograd_form.h"

namespace tessera::cpu {
namespace {

constexpr i64 kProducts = simd::kWinogradProducts, kTile = simd::kWinogradTile, kPatch = simd::kWinogradPatch;
constexpr i64 kBlockBytes = 960 << 10;       // of V, for one block of tiles ...
constexpr i64 kFewestTiles = 4 * kTileRows;  // ... which has at least these many,
constexpr i64 kMostTiles = 16 * kTileRows;   // and at most these
constexpr i64 kFewTasks = 8;                 // below which the threads would not end at about the same time
constexpr i64 kFewestChannels = 32;

i64 tiles_of(i64 pixels) {
  return ceil_div(pixels, kTile);
}

template <class T>
struct Convolution {
  const ops::Conv2dDims& dims;
  const T *x, *u, *bias, *residual;
  T* y;
  ops::Activation activation;
  WinogradForm<T> form;
  i64 rows = tiles_of(dims.Ho), columns = tiles_of(dims.Wo), tiles = dims.N * rows * columns;
  i64 depth = form.padded(form.depth);  // of a row of V
  i64 blocks, block;                    // of tiles
  i64 v_slice, m_slice;                 // from V[p] to V[p + 1]; a little more than a round number, or all 36 would
                                        // fall on the same few sets of the cache
  Tensor zeros = Tensor::zeros({form.depth}, kDTypeOf<T>);

  Convolution(const ops::Conv2dDims& sizes, const Tensor& input, const Tensor& packed, const Tensor& shift,
              const Tensor& added, ops::Activation act, Tensor& output)
      : dims(sizes),
        x(input.data<T>()),
        u(packed.data<T>()),
        bias(shift.defined() ? shift.data<T>() : nullptr),
        residual(added.defined() ? added.data<T>() : nullptr),
        y(output.data<T>()),
        activation(act),
        form{sizes.group_in(), sizes.group_out()} {
    const i64 fitting = kBlockBytes / (kProducts * depth * static_cast<i64>(sizeof(T)));
    blocks = ceil_div(tiles, std::clamp(fitting / kTileRows * kTileRows, kFewestTiles, kMostTiles));
    block = round_up(ceil_div(tiles, blocks), kTileRows);
    blocks = ceil_div(tiles, block);
    const i64 line = 64 / static_cast<i64>(sizeof(T));
    v_slice = block * depth + line;
    m_slice = block * form.block_width() + line;
  }

  i64 v_size() const { return kProducts * v_slice; }
  i64 column_blocks() const { return ceil_div(form.columns, form.block_width()); }
  i64 tiles_in(i64 index) const { return std::min(block, tiles - index * block); }

  struct Place {
    i64 n, h, w;  // image, first output pixel
  };
  Place place(i64 tile) const {
    return {tile / (rows * columns), tile / columns % rows * kTile, tile % columns * kTile};
  }

  // Row `index` of V of the block that begins at `v`.
  void transform(i64 group, i64 tile, i64 index, T* v) const {
    const Place at = place(tile);
    const T* pixels[kProducts];
    for (i64 i = 0; i < kPatch; ++i)
      for (i64 j = 0; j < kPatch; ++j) {
        const i64 h = at.h - dims.padding + i, w = at.w - dims.padding + j;
        const bool inside = h >= 0 && h < dims.H && w >= 0 && w < dims.W;
        pixels[i * kPatch + j] =
            inside ? x + ((at.n * dims.H + h) * dims.W + w) * dims.Ci + group * form.depth : zeros.template data<T>();
      }
    simd::winograd_kernels.get<T>().input(pixels, form.depth, v + index * depth, v_slice);
  }

  // M of the block's tiles and one block of output channels, and from it y.
  struct Scratch {
    std::vector<const T*> v_rows;
    std::vector<T*> m_rows;
  };
  void multiply(i64 group, i64 index, i64 column, const T* v, T* m, Scratch& scratch) const {
    const i64 count = tiles_in(index), width = std::min(form.block_width(), form.columns - column);
    scratch.v_rows.resize(static_cast<size_t>(block));
    scratch.m_rows.resize(static_cast<size_t>(block));
    for (i64 t = 0; t < count; ++t) {
      scratch.v_rows[static_cast<size_t>(t)] = v + t * depth;
      scratch.m_rows[static_cast<size_t>(t)] = m + t * form.block_width();
    }
    for (i64 p = 0; p < kProducts; ++p)
      for (i64 k = 0; k < form.depth; k += form.kDepth) {
        const i64 length = std::min(form.kDepth, form.depth - k);
        simd::gemm_kernels.get<T>().block({.rows = count,
                                           .columns = form.padded(width),
                                           .a_rows = scratch.v_rows.data(),
                                           .run_offset = p * v_slice + k,
                                           .run_depth = length,
                                           .b = u + group * form.size() + form.offset(column, p, k),
                                           .panel_stride = form.panel * length,
                                           .c_rows = scratch.m_rows.data(),
                                           .c_column = p * m_slice,
                                           .accumulate = k > 0});
      }
    const i64 channel = group * form.columns + column;
    for (i64 t = 0; t < count; ++t) {
      const Place at = place(index * block + t);
      const i64 first = ((at.n * dims.Ho + at.h) * dims.Wo + at.w) * dims.Co + channel;
      simd::winograd_kernels.get<T>().output({.m = m + t * form.block_width(),
                                              .slice = m_slice,
                                              .channels = width,
                                              .y = y + first,
                                              .residual = residual ? residual + first : nullptr,
                                              .row_pitch = dims.Wo * dims.Co,
                                              .pixel_pitch = dims.Co,
                                              .rows = std::min(kTile, dims.Ho - at.h),
                                              .columns = std::min(kTile, dims.Wo - at.w),
                                              .bias = bias ? bias + channel : nullptr,
                                              .relu = activation != ops::Activation::kNone,
                                              .ceiling = ceiling_of<T>(activation)});
    }
  }

  // Task = group, block of tiles.
  void run_blocks() const {
    const i64 tasks = dims.groups * blocks;
    const int threads = static_cast<int>(std::min<i64>(tasks, omp_get_max_threads()));
    Tensor memory = Tensor::empty({threads, v_size() + kProducts * m_slice}, kDTypeOf<T>);
    T* const first = memory.data<T>();
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
      T* const v = first + omp_get_thread_num() * (v_size() + kProducts * m_slice);
      Scratch scratch;
#pragma omp for schedule(dynamic)
      for (i64 task = 0; task < tasks; ++task) {
        const i64 group = task / blocks, index = task % blocks;
        for (i64 t = 0; t < tiles_in(index); ++t) transform(group, index * block + t, t, v);
        for (i64 j = 0; j < column_blocks(); ++j)
          multiply(group, index, j * form.block_width(), v, v + v_size(), scratch);
      }
    }
  }

  // All of V, then task = group, block of tiles, block of output channels.
  void run_shared() const {
    const i64 tasks = dims.groups * blocks * column_blocks();
    const int threads = static_cast<int>(std::min<i64>(tasks, omp_get_max_threads()));
    Tensor shared = Tensor::empty({dims.groups * blocks, v_size()}, kDTypeOf<T>);
    Tensor memory = Tensor::empty({threads, kProducts * m_slice}, kDTypeOf<T>);
    T *const v = shared.data<T>(), *const first = memory.data<T>();
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for schedule(dynamic, kTileRows)
      for (i64 job = 0; job < dims.groups * tiles; ++job) {
        const i64 group = job / tiles, tile = job % tiles;
        transform(group, tile, tile % block, v + (group * blocks + tile / block) * v_size());
      }
      T* const m = first + omp_get_thread_num() * kProducts * m_slice;
      Scratch scratch;
#pragma omp for schedule(dynamic)
      for (i64 task = 0; task < tasks; ++task) {
        const i64 group = task / (blocks * column_blocks()), index = task / column_blocks() % blocks;
        multiply(group, index, task % column_blocks() * form.block_width(), v + (group * blocks + index) * v_size(), m,
                 scratch);
      }
    }
  }
};

}  // namespace

bool winograd_suits_weight(const ops::Conv2dDims& dims) {
  return dims.Kh == 3 && dims.Kw == 3 && dims.stride == 1 && dims.dilation == 1 && dims.group_in() >= kFewestChannels &&
         dims.group_out() >= kFewestChannels;
}

ops::Conv2dDims winograd_backward_dims(const ops::Conv2dDims& dims) {
  ops::Conv2dDims turned = dims;
  std::swap(turned.H, turned.Ho);
  std::swap(turned.W, turned.Wo);
  std::swap(turned.Ci, turned.Co);
  turned.padding = 2 - dims.padding;
  return turned;
}

// Every tile costs 36 products, however few of its 16 outputs exist; and a few rows alone do not pay for reading four
// times as many weights.
bool winograd_suits_image(const ops::Conv2dDims& dims) {
  const i64 tiles = tiles_of(dims.Ho) * tiles_of(dims.Wo), direct = 9 * dims.Ho * dims.Wo;
  return dims.N * tiles >= 2 * kTileRows && 4 * kProducts * tiles <= 3 * direct;
}

// The convolution of gy with the kernel turned around, input and output channels exchanged.
template <class T>
void winograd_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  const i64 Gi = dims.group_in(), Go = dims.group_out();
  Tensor turned = Tensor::empty({dims.Ci, 3, 3, Go}, weight.dtype());
  const T* w = weight.data<T>();
  T* to = turned.data<T>();
#pragma omp parallel for schedule(static)
  for (i64 job = 0; job < dims.groups * 9; ++job) {
    const i64 group = job / 9, t = job % 9;
    simd::gemm_kernels.get<T>().transpose(w + (group * Go * 9 + t) * Gi, 9 * Gi, Go, Gi,
                                          to + (group * Gi * 9 + 8 - t) * Go, 9 * Go);
  }
  winograd<T>(winograd_backward_dims(dims), gy, winograd_pack<T>(turned, dims.groups), Tensor(), Tensor(),
              ops::Activation::kNone, gx);
}

template <class T>
void winograd(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& packed, const Tensor& bias,
              const Tensor& residual, ops::Activation activation, Tensor& y) {
  const Convolution<T> convolution(dims, x, packed, bias, residual, activation, y);
  if (dims.groups * convolution.blocks >= kFewTasks) {
    convolution.run_blocks();
  } else {
    convolution.run_shared();
  }
}

template void winograd_backward_input<float>(const ops::Conv2dDims&, const Tensor&, const Tensor&, Tensor&);
template void winograd_backward_input<double>(const ops::Conv2dDims&, const Tensor&, const Tensor&, Tensor&);
template void winograd<float>(const ops::Conv2dDims&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                              ops::Activation, Tensor&);
template void winograd<double>(const ops::Conv2dDims&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                               ops::Activation, Tensor&);

}  // namespace tessera::cpu
