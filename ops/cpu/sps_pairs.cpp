// See sps_pairs.h. Blocks of cells are dealt to the threads; what a block needs stays in the caches. The blocks are cut
// from the number of cells alone.
#include "ops/cpu/sps_pairs.h"

#include <array>
#include <vector>

#include "ops/cpu/simd/sps_tiles.h"
#include "ops/cpu/sps_products.h"
#include "ops/cpu/sps_tiles.h"

namespace tessera::cpu {
namespace {

constexpr i64 kPositions = 9;
constexpr i64 kBlock = 192;  // cells

// The pairs of a block: those of position t are numbered t * kBlock and on.
struct Pairs {
  std::array<i64, kPositions> counts;
  std::array<i32, kPositions * kBlock> rows;                 // of each pair
  std::array<std::array<i32, kPositions>, kBlock> of_cells;  // the pair of each cell and position

  // A small table for each position remembers the last pairs; what it forgets is made twice, which is no error. No
  // branch: whether a row was seen is as good as random. Cells outside, positions inside: cells next to each other read
  // the same rows, and would wait for each other's entry.
  void find(std::span<const i32> cells, const i32* ids) {
    struct Seen {
      i32 row = -1, pair;
    };
    constexpr u32 kSeen = 128;
    std::array<std::array<Seen, kSeen>, kPositions> tables{};
    std::array<i32, kPositions> next;
    for (size_t t = 0; t < kPositions; ++t) next[t] = static_cast<i32>(t * kBlock);
    for (size_t i = 0; i < cells.size(); ++i)
      for (size_t t = 0; t < kPositions; ++t) {
        const i32 row = ids[cells[i] * kPositions + static_cast<i64>(t)];
        Seen& seen = tables[t][static_cast<u32>(row) % kSeen];
        const bool known = seen.row == row;
        const i32 pair = known ? seen.pair : next[t];
        seen = {row, pair};
        rows[static_cast<size_t>(pair)] = row;
        of_cells[i][t] = pair;
        next[t] += !known;
      }
    for (size_t t = 0; t < kPositions; ++t) counts[t] = next[t] - static_cast<i64>(t * kBlock);
  }
};

// One block after another: its cells.
struct Blocks {
  std::span<const i32> cells;
  i64 count() const { return ceil_div(static_cast<i64>(cells.size()), kBlock); }
  std::span<const i32> operator[](i64 block) const {
    const size_t begin = static_cast<size_t>(block * kBlock);
    return cells.subspan(begin, std::min(cells.size() - begin, static_cast<size_t>(kBlock)));
  }
};

// w[t]' as panels [Fi][Fo], or w[t] as panels [Fo][Fi], one position after the other.
template <class T>
Tensor pack_weight(const Tensor& weight, i64 Fi, i64 Fo, bool transposed) {
  const i64 depth = transposed ? Fi : Fo, pitch = kPositions * Fi;
  const Panels<T> panels(transposed ? Fo : Fi);
  Tensor packed = Tensor::zeros({kPositions, depth, panels.padded}, weight.dtype());
  for (i64 t = 0; t < kPositions; ++t)
    for (i64 j = 0; j < panels.columns; j += panels.width) {
      const i64 width = std::min(panels.width, panels.columns - j), stride = panels.stride(j);
      const T* w = weight.data<T>() + t * Fi;
      T* out = packed.data<T>() + (t * panels.padded + j) * depth;
      if (transposed)
        simd::gemm_kernels.get<T>().transpose(w + j * pitch, pitch, width, depth, out, stride);
      else
        simd::gemm_kernels.get<T>().copy_strided(w + j, pitch, depth, width, out, stride);
    }
  return packed;
}

// Where the rows of the pairs begin. They lie anywhere and are asked for early.
template <class T>
void point_at_features(const Pairs& pairs, const SpsFeatures<T>& features, const T** rows) {
  for (i64 t = 0; t < kPositions; ++t)
    for (i64 j = t * kBlock; j < t * kBlock + pairs.counts[static_cast<size_t>(t)]; ++j) {
      rows[j] = features.at(pairs.rows[static_cast<size_t>(j)]);
      ask_for_row(rows[j], 0, features.width);
    }
}

}  // namespace

template <class T>
void run_pairs(std::span<const i32> cells, const Tensor& ids, const SpsFeatures<T>& features, const Tensor& weight,
               const T* bias, bool relu, Tensor& y) {
  const Blocks blocks{cells};
  if (blocks.count() == 0) return;
  const i64 Fi = features.width, Fo = y.dim(1);
  const Panels<T> panels(Fo);
  const Tensor packed = pack_weight<T>(weight, Fi, Fo, true);
  const int threads = static_cast<int>(std::min<i64>(blocks.count(), omp_get_max_threads()));
  Tensor workspace = Tensor::empty({threads, kPositions * kBlock, Fo}, y.dtype());
  T *const memory = workspace.data<T>(), *const out = y.data<T>();
  const T* const w = packed.data<T>();
  const auto sum_positions = simd::sps_tile_kernels.get<T>().sum_positions;

#pragma omp parallel num_threads(threads)
  {
    Pairs pairs;
    const T* from[kPositions * kBlock];
    const std::vector<T*> products =
        row_pointers(memory + omp_get_thread_num() * kPositions * kBlock * Fo, kPositions * kBlock, Fo);
#pragma omp for schedule(dynamic)
    for (i64 block = 0; block < blocks.count(); ++block) {
      const std::span<const i32> mine = blocks[block];
      pairs.find(mine, ids.data<i32>());
      point_at_features(pairs, features, from);
      for (i64 t = 0; t < kPositions; ++t)
        multiply_rows(panels, pairs.counts[static_cast<size_t>(t)], Fi, from + t * kBlock, 0,
                      w + t * Fi * panels.padded, products.data() + t * kBlock, 0);
      for (size_t i = 0; i < mine.size(); ++i) {
        const T* rows[kPositions];
        for (size_t t = 0; t < kPositions; ++t) rows[t] = products[static_cast<size_t>(pairs.of_cells[i][t])];
        sum_positions(rows, bias, relu, Fo, out + mine[i] * Fo);
      }
    }
  }
}

template <class T>
void add_pair_gradients(std::span<const i32> cells, const Tensor& ids, const SpsFeatures<T>& features, const Tensor& gy,
                        const Tensor& weight, const SpsGradientSums<T>& sums) {
  const Blocks blocks{cells};
  if (blocks.count() == 0) return;
  const i64 Fi = features.width, Fo = gy.dim(1), places = sps_places(blocks.count());
  const Panels<T> panels(Fi);
  const Tensor packed = sums.active ? pack_weight<T>(weight, Fi, Fo, false) : Tensor();
  const T* const w = sums.active ? packed.data<T>() : nullptr;
  Tensor gw = sums.weight ? Tensor::empty({kPositions, Fo, Fi}, gy.dtype()) : Tensor();
  const std::vector<T*> gw_rows = sums.weight ? row_pointers(gw.data<T>(), Fo, Fi) : std::vector<T*>();
  const auto add = simd::sps_tile_kernels.get<T>().add;

  // Of each place: g, what it adds to the features' gradients, and of each thread the features of a position as panels.
  struct Place {
    Pairs pairs;
    const T* features[kPositions * kBlock];
    T *g, *gf, *panels;
    std::vector<const T*> g_rows;
    std::vector<T*> gf_rows;
  };
  constexpr i64 kMost = kPositions * kBlock;  // pairs
  const i64 size = kMost * (Fo + Fi) + kBlock * panels.padded;
  Tensor workspace = Tensor::zeros({places, size}, gy.dtype());
  std::vector<Place> all(static_cast<size_t>(places));
  for (i64 i = 0; i < places; ++i) {
    Place& place = all[static_cast<size_t>(i)];
    place.g = workspace.data<T>() + i * size;
    place.gf = place.g + kMost * Fo;
    place.panels = place.gf + kMost * Fi;
    place.g_rows = row_pointers<const T>(place.g, kMost, Fo);
    place.gf_rows = row_pointers(place.gf, kMost, Fi);
  }

  const auto sum_readers = [&, from = gy.data<T>()](std::span<const i32> mine, Place& place) {
    for (size_t t = 0; t < kPositions; ++t) {
      i32 next = static_cast<i32>(t * kBlock);
      for (size_t i = 0; i < mine.size(); ++i) {
        const i32 pair = place.pairs.of_cells[i][t];
        const T* row = from + mine[i] * Fo;
        if (pair == next) {  // its first reader
          std::copy_n(row, Fo, place.g + pair * Fo);
          ++next;
        } else {
          add(row, Fo, place.g + pair * Fo);
        }
      }
    }
  };
  const auto compute = [&](i64 block, i64 index) {
    Place& place = all[static_cast<size_t>(index)];
    place.pairs.find(blocks[block], ids.data<i32>());
    sum_readers(blocks[block], place);
    if (sums.weight) point_at_features(place.pairs, features, place.features);
    for (i64 t = 0; t < kPositions && w; ++t)
      multiply_rows(panels, place.pairs.counts[static_cast<size_t>(t)], Fo, place.g_rows.data() + t * kBlock, 0,
                    w + t * Fo * panels.padded, place.gf_rows.data() + t * kBlock, 0);
  };
  const auto multiply = [&](i64 t, i64 block, i64 index) {
    const Place& place = all[static_cast<size_t>(index)];
    const i64 count = place.pairs.counts[static_cast<size_t>(t)];
    T* const b = all[static_cast<size_t>(omp_get_thread_num())].panels;
    for (i64 c = 0; c < Fi; c += panels.width)
      simd::gemm_kernels.get<T>().copy_rows(place.features + t * kBlock, c, count, std::min(panels.width, Fi - c),
                                            b + c * count, panels.stride(c));
    multiply_columns(panels, Fo, count, place.g + t * kBlock * Fo, b, gw_rows.data(), t * Fo * Fi, block > 0);
  };
  const auto add_rows = [&](i64, i64 index, i64 begin, i64 end) {
    constexpr i64 kAhead = 12;  // rows that are asked for before they are added to
    const Place& place = all[static_cast<size_t>(index)];
    for (i64 t = 0; t < kPositions; ++t) {
      const i32* rows = place.pairs.rows.data() + t * kBlock;
      const i64 count = place.pairs.counts[static_cast<size_t>(t)];
      for (i64 j = 0; j < count; ++j) {
        if (j + kAhead < count) ask_for_row(sums.at(features, rows[j + kAhead]), begin, end);
        if (T* row = sums.at(features, rows[j]))
          add(place.gf + (t * kBlock + j) * Fi + begin, end - begin, row + begin);
      }
    }
  };
  run_sps_blocks(blocks.count(), compute, sums.weight ? kPositions : 0, multiply, w ? Fi : 0, add_rows);

  if (!sums.weight) return;
  for (i64 t = 0; t < kPositions; ++t)
    for (i64 o = 0; o < Fo; ++o)
      add(gw_rows[static_cast<size_t>(o)] + t * Fo * Fi, Fi, sums.weight + (o * kPositions + t) * Fi);
}

template void run_pairs<float>(std::span<const i32>, const Tensor&, const SpsFeatures<float>&, const Tensor&,
                               const float*, bool, Tensor&);
template void run_pairs<double>(std::span<const i32>, const Tensor&, const SpsFeatures<double>&, const Tensor&,
                                const double*, bool, Tensor&);
template void add_pair_gradients<float>(std::span<const i32>, const Tensor&, const SpsFeatures<float>&, const Tensor&,
                                        const Tensor&, const SpsGradientSums<float>&);
template void add_pair_gradients<double>(std::span<const i32>, const Tensor&, const SpsFeatures<double>&, const Tensor&,
                                         const Tensor&, const SpsGradientSums<double>&);

}  // namespace tessera::cpu
