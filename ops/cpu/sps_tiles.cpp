// See sps_tiles.h. Blocks of tiles are dealt to the threads; a block's transformed inputs and products stay in the
// caches between the steps. The blocks are cut from the number of tiles alone.
//
//   forward    V[k] = (B' d B)[k]  [tiles, Fi],  M[k] = V[k] U[k]  [tiles, Fo],  y = A' M A          k = 0 .. 15
//   gradients  dM[k] = (A gy A')[k],  dV[k] = dM[k] U[k]',  of the features B dV B'
//              dU[k] = dM[k]' V[k]  [Fo, Fi], summed over the blocks of a part, of the weight G' dU G
#include "ops/cpu/sps_tiles.h"

#include <algorithm>
#include <span>

#include "ops/cpu/sps_products.h"

namespace tessera::cpu {

namespace {

// A tile costs its 16 products for each pair of channels, and transforms for each channel that take as long as so many.
constexpr i64 kTransforms = 320;
constexpr i64 kFewestTiles = 64;    // fewer do not pay for the transform of the weight
constexpr i64 kForwardBlock = 48;   // tiles, whole row tiles of the product
constexpr i64 kGradientBlock = 96;  // tiles: the depth of the product that the weight's gradient is

// The 16 matrices of V or M lie this far apart: not a power of two, because one cell's elements of all of them are
// written together and would fall on the same few sets of the cache.
template <class T>
constexpr i64 apart(i64 elements) {
  return round_up(elements, 64 / static_cast<i64>(sizeof(T))) + 64 / static_cast<i64>(sizeof(T));
}

// The inputs of a tile lie anywhere and are asked for early.
template <class T>
void ask_for_inputs(const SpsTiles::Tile& tile, const SpsFeatures<T>& features) {
  for (const i32 id : tile.inputs) ask_for_row(features.at(id), 0, features.width);
}

// U[k] = (G g G')[k] as panels [Fi][Fo], or U[k]' as panels [Fo][Fi].
template <class T>
Tensor transform_weight(const Tensor& weight, i64 Fi, i64 Fo, bool transposed) {
  const i64 depth = transposed ? Fo : Fi, columns = transposed ? Fi : Fo;
  const Panels<T> panels(columns);
  Tensor u = Tensor::zeros({16, depth, panels.padded}, kDTypeOf<T>);
  const T* const w = weight.data<T>();
  T* out = u.data<T>();
#pragma omp parallel for schedule(static)
  for (i64 i = 0; i < depth; ++i)
    for (i64 j = 0; j < columns; ++j) {
      const T* g = w + (transposed ? i * 9 * Fi + j : j * 9 * Fi + i);
      T half[4][3];  // G g
      for (int x = 0; x < 3; ++x) {
        const T g0 = g[x * Fi], g1 = g[(3 + x) * Fi], g2 = g[(6 + x) * Fi];
        half[0][x] = g0;
        half[1][x] = (g0 + g1 + g2) / 2;
        half[2][x] = (g0 - g1 + g2) / 2;
        half[3][x] = g2;
      }
      const i64 panel = j / panels.width * panels.width;
      T* to = out + panel * depth + i * panels.stride(panel) + j - panel;
      const i64 step = depth * panels.padded;
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

SpsTiles::SpsTiles(const Tensor& ids, i64 zero_id, i64 Fi, i64 Fo) {
  const i64 active = ids.dim(0);
  const i32* id = ids.data<i32>();
  std::vector<u8> taken(static_cast<size_t>(active), 0);
  const i64 worth = 16 + kTransforms / std::max<i64>(1, std::min(Fi, Fo));  // products without tiles
  const auto try_tile = [&](i64 a, int place, int wanted) {                 // with a at that place
    Tile tile;
    int count = 0;
    for (int k = 0; k < 4; ++k) {  // the position of a that looks at place k
      const i32 row = id[a * 9 + (k / 2 - place / 2 + 1) * 3 + k % 2 - place % 2 + 1];
      const bool free = row < active && !taken[static_cast<size_t>(row)];
      tile.outputs[k] = free ? row : -1;
      count += free;
    }
    if (count < wanted) return;
    std::fill_n(tile.inputs, 16, static_cast<i32>(zero_id));
    i64 halves = 0;  // of products
    for (int k = 0; k < 4; ++k) {
      if (tile.outputs[k] < 0) continue;
      for (int t = 0; t < 9; ++t) {
        const i32 input = id[tile.outputs[k] * i64{9} + t];
        tile.inputs[(k / 2 + t / 3) * 4 + k % 2 + t % 3] = input;
        halves +=
            (input < active) + (input < zero_id);  // the product with a passive row is shared by two cells or three
      }
    }
    if (halves < 2 * worth) return;
    for (const i32 row : tile.outputs)
      if (row >= 0) taken[static_cast<size_t>(row)] = 1;
    tiles.push_back(tile);
  };
  if (worth <= 36 && active >= 4 * kFewestTiles) {
    tiles.reserve(static_cast<size_t>(active / 3));
    for (i64 a = 0; a < active; ++a)  // as the first of four only: the other places give the same tiles
      if (!taken[static_cast<size_t>(a)]) try_tile(a, 0, 4);
    for (i64 a = 0; a < active && worth <= 24; ++a)
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
void run_tiles(const SpsTiles& tiles, const SpsFeatures<T>& features, const Tensor& weight, const T* bias, bool relu,
               Tensor& y) {
  if (tiles.tiles.empty()) return;
  const i64 Fi = features.width, Fo = y.dim(1), count = static_cast<i64>(tiles.tiles.size());
  const i64 blocks = ceil_div(count, kForwardBlock);
  const Panels<T> panels(Fo);
  const Tensor u = transform_weight<T>(weight, Fi, Fo, false);
  const int threads = static_cast<int>(std::min<i64>(blocks, omp_get_max_threads()));
  const i64 inputs = apart<T>(kForwardBlock * Fi), products = apart<T>(kForwardBlock * Fo);
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
      if (i + 1 < some) ask_for_inputs(tiles.tiles[static_cast<size_t>(first + i + 1)], features);
      simd::sps_tile_kernels.get<T>().input(rows, 0, Fi, v + i * Fi, inputs);
    }
    for (int k = 0; k < 16; ++k)
      multiply_rows(panels, some, Fi, v_rows, k * inputs, u_data + k * Fi * panels.padded, m_rows, k * products);
    for (i64 i = 0; i < some; ++i) {
      T* rows[4];
      for (int k = 0; k < 4; ++k) {
        const i32 row = tiles.tiles[static_cast<size_t>(first + i)].outputs[k];
        rows[k] = row < 0 ? nullptr : out + row * Fo;
      }
      simd::sps_tile_kernels.get<T>().output(m_rows[i], products, bias, relu, Fo, rows);
    }
  }
}

namespace {

// gw += G' dU G with dU [16][Fo][Fi]
template <class T>
void add_weight_gradient(const T* gu, i64 Fi, i64 Fo, T* gw) {
#pragma omp parallel for schedule(static)
  for (i64 o = 0; o < Fo; ++o)
    for (i64 i = 0; i < Fi; ++i) {
      T half[3][4];  // G' dU
      for (int j = 0; j < 4; ++j) {
        const auto u = [&](int r) { return gu[((4 * r + j) * Fo + o) * Fi + i]; };
        const T both = (u(1) + u(2)) / 2;
        half[0][j] = u(0) + both;
        half[1][j] = (u(1) - u(2)) / 2;
        half[2][j] = both + u(3);
      }
      for (int r = 0; r < 3; ++r) {
        const T both = (half[r][1] + half[r][2]) / 2;
        T* to = gw + (o * 9 + 3 * r) * Fi + i;
        to[0] += half[r][0] + both;
        to[Fi] += (half[r][1] - half[r][2]) / 2;
        to[2 * Fi] += both + half[r][3];
      }
    }
}

}  // namespace

template <class T>
void add_tile_gradients(const SpsTiles& tiles, const SpsFeatures<T>& features, const Tensor& gy, const Tensor& weight,
                        const SpsGradientSums<T>& sums) {
  if (tiles.tiles.empty()) return;
  const i64 Fi = features.width, Fo = gy.dim(1), count = static_cast<i64>(tiles.tiles.size());
  const i64 blocks = ceil_div(count, kGradientBlock), places = sps_places(blocks);
  const Panels<T> panels(Fi);
  const Tensor u = sums.active ? transform_weight<T>(weight, Fi, Fo, true) : Tensor();
  const T* const u_data = sums.active ? u.data<T>() : nullptr;
  Tensor u_gradient = sums.weight ? Tensor::empty({16, Fo, Fi}, kDTypeOf<T>) : Tensor();
  const std::vector<T*> gu_rows = sums.weight ? row_pointers(u_gradient.data<T>(), Fo, Fi) : std::vector<T*>();
  const Tensor zeros = Tensor::zeros({Fo}, kDTypeOf<T>);
  const T *const zero = zeros.data<T>(), *const from = gy.data<T>();

  const i64 inputs = apart<T>(kGradientBlock * panels.padded), outputs = apart<T>(kGradientBlock * Fo);
  struct Place {
    T *v, *gm, *gv;
  };
  Tensor workspace = Tensor::zeros({places, 16 * (2 * inputs + outputs)}, kDTypeOf<T>);
  const auto at = [&, memory = workspace.data<T>()](i64 place) {
    T* const v = memory + place * 16 * (2 * inputs + outputs);
    return Place{v, v + 32 * inputs, v + 16 * inputs};
  };
  const auto tiles_of = [&](i64 block) {
    const i64 first = block * kGradientBlock;
    return std::span(tiles.tiles)
        .subspan(static_cast<size_t>(first), static_cast<size_t>(std::min(kGradientBlock, count - first)));
  };

  const auto compute = [&](i64 block, i64 place) {
    const auto [v, gm, gv] = at(place);
    const auto mine = tiles_of(block);
    const i64 some = std::ssize(mine);
    for (i64 i = 0; i < some; ++i) {
      const SpsTiles::Tile& tile = mine[static_cast<size_t>(i)];
      const T* g[4];
      for (int k = 0; k < 4; ++k) g[k] = tile.outputs[k] < 0 ? zero : from + tile.outputs[k] * Fo;
      simd::sps_tile_kernels.get<T>().output_gradient(g, Fo, gm + i * Fo, outputs);
      if (!sums.weight) continue;
      if (i + 1 < some) ask_for_inputs(mine[static_cast<size_t>(i + 1)], features);
      const T* rows[16];
      for (int k = 0; k < 16; ++k) rows[k] = features.at(tile.inputs[k]);
      for (i64 c = 0; c < Fi; c += panels.width)
        simd::sps_tile_kernels.get<T>().input(rows, c, std::min(panels.width, Fi - c),
                                              v + c * some + i * panels.stride(c), inputs);
    }
    if (!sums.active) return;
    const std::vector<const T*> gm_rows = row_pointers<const T>(gm, some, Fo);
    const std::vector<T*> gv_rows = row_pointers(gv, some, Fi);
    for (int k = 0; k < 16; ++k)
      multiply_rows(panels, some, Fo, gm_rows.data(), k * outputs, u_data + k * Fo * panels.padded, gv_rows.data(),
                    k * inputs);
  };
  const auto multiply = [&](i64 k, i64 block, i64 place) {
    const auto [v, gm, gv] = at(place);
    multiply_columns(panels, Fo, std::ssize(tiles_of(block)), gm + k * outputs, v + k * inputs, gu_rows.data(),
                     k * Fo * Fi, block > 0);
  };
  const auto add = [&](i64 block, i64 place, i64 begin, i64 end) {
    const T* gv = at(place).gv + begin;
    for (const SpsTiles::Tile& tile : tiles_of(block)) {
      T* rows[16];
      for (int k = 0; k < 16; ++k) {
        T* row = sums.at(features, tile.inputs[k]);
        rows[k] = row ? row + begin : nullptr;
      }
      simd::sps_tile_kernels.get<T>().add_input_gradient(gv, inputs, end - begin, rows);
      gv += Fi;
    }
  };
  run_sps_blocks(blocks, compute, sums.weight ? 16 : 0, multiply, sums.active ? Fi : 0, add);
  if (sums.weight) add_weight_gradient(u_gradient.data<T>(), Fi, Fo, sums.weight);
}

template void run_tiles<float>(const SpsTiles&, const SpsFeatures<float>&, const Tensor&, const float*, bool, Tensor&);
template void run_tiles<double>(const SpsTiles&, const SpsFeatures<double>&, const Tensor&, const double*, bool,
                                Tensor&);
template void add_tile_gradients<float>(const SpsTiles&, const SpsFeatures<float>&, const Tensor&, const Tensor&,
                                        const SpsGradientSums<float>&);
template void add_tile_gradients<double>(const SpsTiles&, const SpsFeatures<double>&, const Tensor&, const Tensor&,
                                         const SpsGradientSums<double>&);

}  // namespace tessera::cpu
