// See sps_tiles.h. Blocks of tiles are dealt to the threads; a block's transformed inputs and products stay in the
// caches between the three steps. The blocks are cut from the number of tiles alone.
//
//   forward   V[k] = (B' d B)[k]  [tiles, Fi],  M[k] = V[k] U[k]  [tiles, Fo],  y = A' M A           k = 0 .. 15
//   weight    dU[k] = (A gy A')[k]' V[k]  [Fo, Fi], summed over the blocks of a part of the tiles, the parts summed in
//             order; gw = G' dU G
#include "ops/cpu/sps_tiles.h"

#include <omp.h>

#include <algorithm>

#include "ops/cpu/gemm.h"
#include "ops/cpu/round.h"

namespace tessera::cpu {

template <class T>
const SpsTileKernels<T>& sps_tile_kernels() {
  static const SpsTileKernels<T> kernels = [] {
    SpsTileKernels<T> result;
    sps_tile_kernels_table.get<T>()(result);
    return result;
  }();
  return kernels;
}

namespace {

// A tile costs its 16 products for each pair of channels, and transforms for each channel that take as long as so many.
constexpr i64 kTransforms = 512;
constexpr i64 kFewestTiles = 64;     // fewer do not pay for the transform of the weight
constexpr i64 kForwardBlock = 48;    // tiles, whole row tiles of the product
constexpr i64 kGradientBlock = 192;  // tiles: the depth of the product
constexpr i64 kGradientParts = 8;    // each has its own sum

// A matrix of `columns` as panels for the product: columns of a panel, and of all panels with the last one padded.
template <class T>
struct Panels {
  i64 width, padded;
  explicit Panels(i64 columns)
      : width(gemm_kernels<T>().panel_columns), padded(round_up(columns, gemm_kernels<T>().lanes)) {}
  i64 stride(i64 column) const { return std::min(width, padded - column); }  // of the panel that begins at `column`
};

// U[k] = (G g G')[k] as panels [Fi][Fo].
template <class T>
Tensor transform_weight(const SpsTileWeight<T>& weight, i64 Fi, i64 Fo) {
  const Panels<T> panels(Fo);
  Tensor u = Tensor::zeros({16, Fi, panels.padded}, kDTypeOf<T>);
  T* out = u.data<T>();
#pragma omp parallel for schedule(static)
  for (i64 i = 0; i < Fi; ++i)
    for (i64 o = 0; o < Fo; ++o) {
      const T* g = weight.data + o * weight.output + i * weight.input;
      T half[4][3];  // G g
      for (int j = 0; j < 3; ++j) {
        const T g0 = g[j * weight.tap], g1 = g[(3 + j) * weight.tap], g2 = g[(6 + j) * weight.tap];
        half[0][j] = g0;
        half[1][j] = (g0 + g1 + g2) / 2;
        half[2][j] = (g0 - g1 + g2) / 2;
        half[3][j] = g2;
      }
      const i64 panel = o / panels.width * panels.width;
      T* to = out + panel * Fi + i * panels.stride(panel) + o - panel;
      const i64 step = Fi * panels.padded;
      for (int r = 0; r < 4; ++r) {
        const T sum = half[r][0] + half[r][2];
        to[(4 * r) * step] = half[r][0];
        to[(4 * r + 1) * step] = (sum + half[r][1]) / 2;
        to[(4 * r + 2) * step] = (sum - half[r][1]) / 2;
        to[(4 * r + 3) * step] = half[r][2];
      }
    }
  return u;
}

}  // namespace

SpsTiles::SpsTiles(const Tensor& ids, i64 zero_id, i64 counted, i64 Fi, i64 Fo) {
  const i64 active = ids.dim(0);
  const i32* id = ids.data<i32>();
  std::vector<u8> taken(static_cast<size_t>(active), 0);
  const i64 worth = 16 + kTransforms / std::max<i64>(1, std::min(Fi, Fo));  // products of the plain way
  const auto try_tile = [&](i64 a, int place, int wanted) {                 // with a at that place
    Tile tile;
    int count = 0;
    for (int k = 0; k < 4; ++k) {  // the tap of a that looks at place k
      const i32 row = id[a * 9 + (k / 2 - place / 2 + 1) * 3 + k % 2 - place % 2 + 1];
      const bool free = row < active && !taken[static_cast<size_t>(row)];
      tile.outputs[k] = free ? row : -1;
      count += free;
    }
    if (count < wanted) return;
    std::fill_n(tile.inputs, 16, static_cast<i32>(zero_id));
    i64 products = 0;
    for (int k = 0; k < 4; ++k) {
      if (tile.outputs[k] < 0) continue;
      const i32* taps = id + tile.outputs[k] * i64{9};
      for (int t = 0; t < 9; ++t) {
        tile.inputs[(k / 2 + t / 3) * 4 + k % 2 + t % 3] = taps[t];
        products += taps[t] < counted;
      }
    }
    if (products < worth) return;
    for (const i32 row : tile.outputs)
      if (row >= 0) taken[static_cast<size_t>(row)] = 1;
    tiles.push_back(tile);
  };
  if (worth <= 36 && active >= 4 * kFewestTiles) {
    tiles.reserve(static_cast<size_t>(active / 3));
    for (i64 a = 0; a < active; ++a)  // as the first of four only: the other places give the same tiles
      if (!taken[static_cast<size_t>(a)]) try_tile(a, 0, 4);
    for (i64 a = 0; a < active && worth <= 27; ++a)
      for (int place = 0; place < 4 && !taken[static_cast<size_t>(a)]; ++place) try_tile(a, place, 3);
    if (static_cast<i64>(tiles.size()) < kFewestTiles) {
      tiles.clear();
      taken.assign(static_cast<size_t>(active), 0);
    }
  }
  for (i64 a = 0; a < active; ++a)
    if (!taken[static_cast<size_t>(a)]) rest.push_back(static_cast<i32>(a));
}

template <class T>
void run_tiles(const SpsTiles& tiles, const SpsFeatures<T>& features, const SpsTileWeight<T>& weight, const T* bias,
               bool relu, Tensor& y) {
  if (tiles.tiles.empty()) return;
  const i64 Fi = features.width, Fo = y.dim(1), count = static_cast<i64>(tiles.tiles.size());
  const i64 blocks = (count + kForwardBlock - 1) / kForwardBlock;
  const Panels<T> panels(Fo);
  const Tensor u = transform_weight(weight, Fi, Fo);
  const int threads = static_cast<int>(std::min<i64>(blocks, omp_get_max_threads()));
  const i64 inputs = kForwardBlock * Fi, products = kForwardBlock * Fo;  // of one k
  Tensor workspace = Tensor::empty({threads, 16 * (inputs + products)}, kDTypeOf<T>);
  T *const memory = workspace.data<T>(), *const out = y.data<T>();
  const T* const u_data = u.data<T>();

#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (i64 block = 0; block < blocks; ++block) {
    T* const v = memory + omp_get_thread_num() * 16 * (inputs + products);
    T* const m = v + 16 * inputs;
    const i64 first = block * kForwardBlock, some = std::min(kForwardBlock, count - first);
    const T* v_rows[kForwardBlock];
    T* m_rows[kForwardBlock];
    for (i64 i = 0; i < some; ++i) {
      const T* rows[16];
      for (int k = 0; k < 16; ++k) rows[k] = features.at(tiles.tiles[static_cast<size_t>(first + i)].inputs[k]);
      v_rows[i] = v + i * Fi;
      m_rows[i] = m + i * Fo;
      sps_tile_kernels<T>().input(rows, 0, Fi, v + i * Fi, inputs);
    }
    for (int k = 0; k < 16; ++k)
      gemm_kernels<T>().block({.rows = some,
                               .columns = Fo,
                               .a_rows = v_rows,
                               .a_taps = 1,
                               .tap = 0,
                               .taps = 1,
                               .tap_offset = k * inputs,
                               .tap_depth = Fi,
                               .a_columns = nullptr,
                               .a_step = 0,
                               .b = u_data + k * Fi * panels.padded,
                               .panel_stride = panels.width * Fi,
                               .c_rows = m_rows,
                               .c_column = k * products,
                               .accumulate = false,
                               .bias = nullptr,
                               .relu = false});
    for (i64 i = 0; i < some; ++i) {
      T* rows[4];
      for (int k = 0; k < 4; ++k) {
        const i32 row = tiles.tiles[static_cast<size_t>(first + i)].outputs[k];
        rows[k] = row < 0 ? nullptr : out + row * Fo;
      }
      sps_tile_kernels<T>().output(m_rows[i], products, bias, relu, Fo, rows);
    }
  }
}

template <class T>
void add_tile_weight_gradient(const SpsTiles& tiles, const SpsFeatures<T>& features, const Tensor& gy, Tensor& gw) {
  if (tiles.tiles.empty()) return;
  const i64 Fi = features.width, Fo = gy.dim(1), count = static_cast<i64>(tiles.tiles.size());
  const i64 depth = std::min(kGradientBlock, count);
  const i64 blocks = (count + depth - 1) / depth, parts = std::min(blocks, kGradientParts);
  const Panels<T> panels(Fi);
  const int threads = static_cast<int>(std::min<i64>(parts, omp_get_max_threads()));
  const i64 inputs = depth * panels.padded, gradients = depth * Fo;  // of one k
  Tensor workspace = Tensor::zeros({threads, 16 * (inputs + gradients)}, kDTypeOf<T>);
  Tensor sums = Tensor::empty({parts, 16, Fo, Fi}, kDTypeOf<T>);
  T *const memory = workspace.data<T>(), *const sum = sums.data<T>(), *const out = gw.data<T>();
  const T* const from = gy.data<T>();
  const Tensor zeros = Tensor::zeros({Fo}, gy.dtype());
  const T* const zero = zeros.data<T>();

#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (i64 part = 0; part < parts; ++part) {
    T* const v = memory + omp_get_thread_num() * 16 * (inputs + gradients);
    T* const m = v + 16 * inputs;
    std::vector<T*> rows_out(static_cast<size_t>(Fo));
    for (i64 o = 0; o < Fo; ++o) rows_out[static_cast<size_t>(o)] = sum + (part * 16 * Fo + o) * Fi;
    const i64 first_block = part * blocks / parts, last_block = (part + 1) * blocks / parts;
    for (i64 block = first_block; block < last_block; ++block) {
      const i64 first = block * depth, some = std::min(depth, count - first);
      for (i64 i = 0; i < some; ++i) {
        const SpsTiles::Tile& tile = tiles.tiles[static_cast<size_t>(first + i)];
        const T *rows[16], *g[4];
        for (int k = 0; k < 16; ++k) rows[k] = features.at(tile.inputs[k]);
        for (int k = 0; k < 4; ++k) g[k] = tile.outputs[k] < 0 ? zero : from + tile.outputs[k] * Fo;
        for (i64 c = 0; c < Fi; c += panels.width)
          sps_tile_kernels<T>().input(rows, c, std::min(panels.width, Fi - c), v + c * some + i * panels.stride(c),
                                      inputs);
        sps_tile_kernels<T>().gradient(g, Fo, m + i * Fo, gradients);
      }
      for (int k = 0; k < 16; ++k)
        gemm_kernels<T>().block({.rows = Fo,
                                 .columns = Fi,
                                 .a_rows = nullptr,
                                 .a_taps = 1,
                                 .tap = 0,
                                 .taps = 1,
                                 .tap_offset = 0,
                                 .tap_depth = some,
                                 .a_columns = m + k * gradients,
                                 .a_step = Fo,
                                 .b = v + k * inputs,
                                 .panel_stride = panels.width * some,
                                 .c_rows = rows_out.data(),
                                 .c_column = k * Fo * Fi,
                                 .accumulate = block > first_block,
                                 .bias = nullptr,
                                 .relu = false});
    }
  }

  // The parts in order, then G' dU G.
#pragma omp parallel for schedule(static)
  for (i64 o = 0; o < Fo; ++o)
    for (i64 k = 0; k < 16; ++k)
      for (i64 part = 1; part < parts; ++part)
        sps_tile_kernels<T>().sum(sum + (k * Fo + o) * Fi, sum + ((part * 16 + k) * Fo + o) * Fi, Fi,
                                  sum + (k * Fo + o) * Fi);
#pragma omp parallel for schedule(static)
  for (i64 o = 0; o < Fo; ++o)
    for (i64 i = 0; i < Fi; ++i) {
      T half[3][4];  // G' dU
      for (int j = 0; j < 4; ++j) {
        const auto u = [&](int r) { return sum[((4 * r + j) * Fo + o) * Fi + i]; };
        const T both = (u(1) + u(2)) / 2;
        half[0][j] = u(0) + both;
        half[1][j] = (u(1) - u(2)) / 2;
        half[2][j] = both + u(3);
      }
      for (int r = 0; r < 3; ++r) {
        const T both = (half[r][1] + half[r][2]) / 2;
        T* to = out + (o * 9 + 3 * r) * Fi + i;
        to[0] += half[r][0] + both;
        to[Fi] += (half[r][1] - half[r][2]) / 2;
        to[2 * Fi] += both + half[r][3];
      }
    }
}

template const SpsTileKernels<float>& sps_tile_kernels<float>();
template const SpsTileKernels<double>& sps_tile_kernels<double>();
template void run_tiles<float>(const SpsTiles&, const SpsFeatures<float>&, const SpsTileWeight<float>&, const float*,
                               bool, Tensor&);
template void run_tiles<double>(const SpsTiles&, const SpsFeatures<double>&, const SpsTileWeight<double>&,
                                const double*, bool, Tensor&);
template void add_tile_weight_gradient<float>(const SpsTiles&, const SpsFeatures<float>&, const Tensor&, Tensor&);
template void add_tile_weight_gradient<double>(const SpsTiles&, const SpsFeatures<double>&, const Tensor&, Tensor&);

}  // namespace tessera::cpu
