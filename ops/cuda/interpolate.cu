// Resizing in CUDA, formulas in ops/interpolate.h: one thread per result pixel and 16 bytes of channels, or one.
//
// Rows and columns separate, and an axis is small: a first kernel computes for both axes which inputs each output
// position reads, with what weights (in f64, as on the CPU), and which outputs read each input position. A network of
// fixed sizes does that once. The sources ascend with the position, so the readers of an input are neighbours and are
// found by bisection. The main kernels only look these tables up. Backward gathers, in a fixed order. Memory bounds
// both: each map is read or written once, and read again from the cache where pixels are shared.
#include <map>
#include <mutex>
#include <tuple>

#include "ops/cuda/map.h"
#include "ops/scalar/interpolate.h"
#include "tensor/allocator.h"

namespace tessera {

namespace {

using namespace cuda;

using scalar::ResizeAxis;
struct alignas(16) Weights : scalar::ResizeWeights<float, int> {};  // one access

// The first output position that reads an input at or after i, or (past) one after i only.
__device__ int first_reader(const ResizeAxis& axis, i64 i, bool past) {
  i64 low = 0, high = axis.out;
  while (low < high) {
    const i64 middle = (low + high) / 2;
    const auto w = axis.weights<float, int>(middle);
    const bool reached = past ? w.first > i : (w.second_weight > 0 ? w.second : w.first) >= i;
    if (reached) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return static_cast<int>(low);
}

// Outputs begin ... end - 1 read the input position.
struct alignas(8) Readers {
  int begin, end;
};

// Tables in device memory: weights of `out` positions, readers of `in`.
struct AxisTables {
  Weights* weights;
  Readers* readers;
};

__device__ void fill_axis(const ResizeAxis& axis, const AxisTables& tables, i64 i) {
  if (i < axis.out) tables.weights[i] = {axis.weights<float, int>(i)};
  if (i < axis.in) tables.readers[i] = {first_reader(axis, i, false), first_reader(axis, i, true)};
}

// One thread per position of both axes.
__global__ void axes_kernel(ResizeAxis rows, ResizeAxis columns, i64 n, AxisTables row_tables,
                            AxisTables column_tables) {
  for (const i64 i : indices(n)) {
    fill_axis(rows, row_tables, i);
    fill_axis(columns, column_tables, i);
  }
}

// part: of the pixels of y, [N, H, W, whole channels], those channels that x has.
template <class T, int kWidth>
__global__ void nearest_kernel(MapDims in, MapDims part, MapDims whole, const Weights* rows, const Weights* columns,
                               const T* x, T* y) {
  for (const MapPosition at : positions<kWidth>(part)) {
    const auto pixel = Channels<kWidth>::load(x + in.at(at.n, rows[at.h].first, columns[at.w].first, at.c));
    pixel.store(y + whole.at(at.n, at.h, at.w, at.c));
  }
}

template <class T, int kWidth>
__global__ void bilinear_kernel(MapDims in, MapDims part, MapDims whole, const Weights* __restrict__ rows,
                                const Weights* __restrict__ columns, const T* __restrict__ x, T* __restrict__ y) {
  for (const MapPosition at : positions<kWidth>(part)) {
    const Weights row = rows[at.h], column = columns[at.w];
    const Channels<kWidth> top_left = Channels<kWidth>::load(x + in.at(at.n, row.first, column.first, at.c)),
                           top_right = Channels<kWidth>::load(x + in.at(at.n, row.first, column.second, at.c)),
                           bottom_left = Channels<kWidth>::load(x + in.at(at.n, row.second, column.first, at.c)),
                           bottom_right = Channels<kWidth>::load(x + in.at(at.n, row.second, column.second, at.c));
    Channels<kWidth> blend;
    for (int j = 0; j < kWidth; ++j) {
      const float left = row.first_weight * top_left.value[j] + row.second_weight * bottom_left.value[j],
                  right = row.first_weight * top_right.value[j] + row.second_weight * bottom_right.value[j];
      blend.value[j] = column.first_weight * left + column.second_weight * right;
    }
    blend.store(y + whole.at(at.n, at.h, at.w, at.c));
  }
}

// kTogether columns of readers at a time, whose weights are found once for all rows.
template <class T, int kWidth>
__global__ void backward_kernel(MapDims in, MapDims out, AxisTables rows, AxisTables columns, const T* __restrict__ gy,
                                T* __restrict__ gx) {
  constexpr int kTogether = 4;
  for (const MapPosition at : positions<kWidth>(in)) {
    const Readers vertical = rows.readers[at.h], horizontal = columns.readers[at.w];
    auto sum = Channels<kWidth>::zero();
    for (int first = horizontal.begin; first < horizontal.end; first += kTogether) {
      float weights[kTogether];
      int column[kTogether];  // beyond the last, that one again, without a weight
      for (int k = 0; k < kTogether; ++k) {
        column[k] = scalar::smaller(first + k, horizontal.end - 1);
        weights[k] = first + k < horizontal.end ? columns.weights[column[k]].of(at.w) : 0.0f;
        column[k] = column[k] * out.C + at.c;
      }
      for (int i = vertical.begin; i < vertical.end; ++i) {
        const float row_weight = rows.weights[i].of(at.h);
        const T* const line = gy + out.at(at.n, i, 0, 0);
        Channels<kWidth> gradients[kTogether];
        for (int k = 0; k < kTogether; ++k) gradients[k] = Channels<kWidth>::load(line + column[k]);
        for (int k = 0; k < kTogether; ++k) sum.add(row_weight * weights[k], gradients[k]);
      }
    }
    sum.store(gx + at.index);
  }
}

// The tables of both axes between maps of sizes `in` and `out`, being computed on their device.
struct Tables {
  Tensor memory;
  AxisTables rows, columns;

  Tables(const MapDims& in, const MapDims& out, ops::Interpolation mode, bool align_corners, Device device) {
    const ResizeAxis vertical{in.H, out.H, mode, align_corners}, horizontal{in.W, out.W, mode, align_corners};
    const i64 outputs = out.H + out.W, readers = in.H + in.W;
    memory = Tensor::empty({outputs * i64{sizeof(Weights)} + readers * i64{sizeof(Readers)}}, DType::kU8, device);
    auto* first_weights = reinterpret_cast<Weights*>(memory.raw());
    auto* first_readers = reinterpret_cast<Readers*>(first_weights + outputs);
    rows = {first_weights, first_readers};
    columns = {first_weights + out.H, first_readers + in.H};
    const i64 n = std::max({in.H, in.W, out.H, out.W});
    launch<axes_kernel>(over(n, 64), vertical, horizontal, n, rows, columns);
  }
};

// Those of the sizes that came first are kept for good, for recorded graphs read them; what a branch computes may not
// be there yet for others (tensor/allocator.h).
Tables tables_for(const MapDims& in, const MapDims& out, ops::Interpolation mode, bool align_corners, Device device) {
  constexpr size_t kMostKept = 256;  // of some kilobytes each
  using Key = std::tuple<int, i64, i64, i64, i64, ops::Interpolation, bool>;
  static auto* mutex = new std::mutex;
  static auto* kept = new std::map<Key, Tables>;
  const Key key{device.index, in.H, in.W, out.H, out.W, mode, align_corners};
  const std::lock_guard lock(*mutex);
  if (const auto found = kept->find(key); found != kept->end()) return found->second;
  const Tables tables(in, out, mode, align_corners, device);
  if (kept->size() < kMostKept && BranchMemory::available(device)) kept->emplace(key, tables);
  return tables;
}

// For channels of which both maps have whole pieces: numbers are multiples of a power of two if their bits are.
i64 both(const MapDims& a, const MapDims& b) {
  return a.C | b.C;
}

void interpolate_cuda(const Tensor& x, ops::Interpolation mode, bool align_corners, i64 channel, Tensor& y) {
  const MapDims in = map_of(x), whole = map_of(y), part(y.dim(0), y.dim(1), y.dim(2), x.dim(3));
  const Tables tables = tables_for(in, whole, mode, align_corners, x.device());
  dispatch_storage(x, [&]<class T>() {
    const T* from = x.device_data<T>();
    T* to = y.device_data<T>() + channel;
    const Weights *rows = tables.rows.weights, *columns = tables.columns.weights;
    dispatch_pieces<T>(both(in, whole), {from, to}, [&]<int kWidth>() {
      if (mode == ops::Interpolation::kNearest) {
        launch<nearest_kernel<T, kWidth>>(over_map<kWidth>(part), in, part, whole, rows, columns, from, to);
      } else {
        launch<bilinear_kernel<T, kWidth>>(over_map<kWidth>(part), in, part, whole, rows, columns, from, to);
      }
    });
  });
}

void interpolate_backward_cuda(const Tensor& gy, ops::Interpolation mode, bool align_corners, i64 channel, Tensor& gx) {
  const MapDims in = map_of(gx), out = map_of(gy);
  const Tables tables = tables_for(in, out, mode, align_corners, gy.device());
  dispatch_storage(gy, [&]<class T>() {
    const T* from = gy.device_data<T>() + channel;
    T* to = gx.device_data<T>();
    dispatch_pieces<T>(both(in, out), {from, to}, [&]<int kWidth>() {
      launch<backward_kernel<T, kWidth>>(over_map<kWidth>(in), in, out, tables.rows, tables.columns, from, to);
    });
  });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::interpolate_kernels.add(kDevice, interpolate_cuda),
    ops::interpolate_backward_kernels.add(kDevice, interpolate_backward_cuda),
};

}  // namespace

}  // namespace tessera
