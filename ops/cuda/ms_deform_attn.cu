// Multi-scale deformable attention in CUDA; ops/ms_deform_attn.h states the formula.
//
//   forward, locations, weights   lanes share the channels of a head of a query; a block has 256 / lanes such heads,
//                                 whose threads first find the corners of kSamples samples of each (shared memory),
//                                 then the lanes read them: 4 rows of channels per sample, mostly from the cache
//   value                         the samples are grouped by the cell of the head's map that they lie in
//                                 (ops/cuda/group_by_key.h, 16 bytes per sample); then lanes share the channels of a
//                                 token, which sums the samples of its four cells, in order. Every gy is read once per
//                                 sample and corner
//
// Flops are few: what bounds all of them is the reading of rows of d channels, 4 per sample.
#include "ops/cuda/bilinear_sample.h"
#include "ops/cuda/channels.h"
#include "ops/ms_deform_attn.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kMaxLevels = 16, kSamples = 8, kFewestLanes = 8, kMostHeads = RowLanes::kThreads / kFewestLanes;

struct Dims {
  i64 images;
  u32 queries, tokens;
  i64 cells;  // of all levels
  u32 heads;
  i64 channels;
  int levels, points;
  int height[kMaxLevels] = {}, width[kMaxLevels] = {};
  i64 first[kMaxLevels] = {}, first_cell[kMaxLevels] = {};  // of the level's tokens and of its cells

  __host__ __device__ int samples() const { return levels * points; }
  __host__ __device__ i64 rows() const { return images * queries * heads; }
  __device__ BilinearSample sample(const float* location, int level) const {
    return bilinear_sample(location[1] * static_cast<float>(height[level]) - 0.5f,
                           location[0] * static_cast<float>(width[level]) - 0.5f, height[level], width[level]);
  }
};

Dims dims_of(const char* op, const Tensor& value, const std::vector<ops::LevelSize>& levels, const Tensor& attention) {
  TESSERA_CHECK(levels.size() <= kMaxLevels, "{}: {} levels, on {} there may be at most {}", op, levels.size(),
                value.device(), kMaxLevels);
  Dims d{.images = value.dim(0),
         .queries = static_cast<u32>(attention.dim(1)),
         .tokens = static_cast<u32>(value.dim(1)),
         .cells = 0,
         .heads = static_cast<u32>(value.dim(2)),
         .channels = value.dim(3),
         .levels = static_cast<int>(levels.size()),
         .points = static_cast<int>(attention.dim(4))};
  i64 token = 0;
  for (size_t l = 0; l < levels.size(); ++l) {
    d.height[l] = static_cast<int>(levels[l].height), d.width[l] = static_cast<int>(levels[l].width);
    d.first[l] = token, d.first_cell[l] = d.cells;
    token += levels[l].height * levels[l].width;
    d.cells += cells_of(levels[l].height, levels[l].width);
  }
  return d;
}

// One sample, ready for the lanes: the tokens of its corners, -1 outside.
struct alignas(16) ReadySample {
  i32 token[4];
  float down, right, attention;

  __device__ BilinearSample place() const { return {.down = down, .right = right}; }
};

// Fills ready[s][h] with samples first, first + 1, ... of the block's heads.
__device__ void ready_samples(const Dims& d, const RowLanes& lanes, u32 first_row, int first, int count,
                              const float* locations, const float* attention, ReadySample (*ready)[kMostHeads]) {
  const int heads = static_cast<int>(blockDim.x) / lanes.count;
  for (int k = static_cast<int>(threadIdx.x); k < heads * count; k += static_cast<int>(blockDim.x)) {
    const u32 row = first_row + static_cast<u32>(k / count);
    if (row >= lanes.rows) continue;
    const int s = first + k % count, level = s / d.points;
    const i64 at = i64{row} * d.samples() + s;
    const BilinearSample sample = d.sample(locations + 2 * at, level);
    ReadySample& to = ready[k % count][k / count];
    for (int corner = 0; corner < 4; ++corner)
      to.token[corner] = sample.inside(corner, d.height[level], d.width[level])
                             ? static_cast<i32>(d.first[level] + pixel_of(sample, corner, d.width[level]))
                             : -1;
    to.down = sample.down, to.right = sample.right, to.attention = attention[at];
  }
}

struct SharedSamples {
  ReadySample ready[kSamples][kMostHeads];  // lanes of neighbouring heads read neighbouring ones
};

template <class T, int kWidth>
__global__ void ms_deform_attn_kernel(Dims d, RowLanes lanes, const T* value, const float* locations,
                                      const float* attention, T* y) {
  SharedSamples& shared = shared_memory<SharedSamples>();
  const u32 row = lanes.row();
  const i64 pitch = d.heads * d.channels;
  const int head = static_cast<int>(threadIdx.x) / lanes.count;
  const bool mine = row < lanes.rows;
  const T* const values = value + i64{row / d.heads / d.queries} * d.tokens * pitch + row % d.heads * d.channels;
  for (i64 chunk = 0; chunk < d.channels; chunk += lanes.count * kWidth) {
    const i64 c = chunk + lanes.lane() * kWidth;
    auto sum = Channels<kWidth>::zero();
    for (int first = 0; first < d.samples(); first += kSamples) {
      const int count = d.samples() - first < kSamples ? d.samples() - first : kSamples;
      ready_samples(d, lanes, row - static_cast<u32>(head), first, count, locations, attention, shared.ready);
      __syncthreads();
      for (int s = 0; s < count && mine && c < d.channels; ++s) {
        const ReadySample sample = shared.ready[s][head];
        const BilinearSample place = sample.place();
        for (int k = 0; k < 4; ++k)
          if (sample.token[k] >= 0)
            sum.add(place.weight(k) * sample.attention, Channels<kWidth>::load(values + sample.token[k] * pitch + c));
      }
      __syncthreads();
    }
    if (mine && c < d.channels) sum.store(y + row * d.channels + c);
  }
}

template <class T, int kWidth>
__global__ void ms_deform_attn_backward_samples_kernel(Dims d, RowLanes lanes, const T* gy, const T* value,
                                                       const float* locations, const float* attention,
                                                       float* glocations, float* gattention) {
  SharedSamples& shared = shared_memory<SharedSamples>();
  const u32 row = lanes.row();
  const i64 pitch = d.heads * d.channels;
  const int head = static_cast<int>(threadIdx.x) / lanes.count;
  const bool mine = row < lanes.rows;
  const T* const values = value + i64{row / d.heads / d.queries} * d.tokens * pitch + row % d.heads * d.channels;
  for (int first = 0; first < d.samples(); first += kSamples) {
    const int count = d.samples() - first < kSamples ? d.samples() - first : kSamples;
    ready_samples(d, lanes, row - static_cast<u32>(head), first, count, locations, attention, shared.ready);
    __syncthreads();
    for (int s = 0; s < count; ++s) {
      const ReadySample sample = shared.ready[s][head];
      float dots[4] = {};  // of each corner's channels with the gradient
      for (i64 c = lanes.lane() * kWidth; c < d.channels && mine; c += lanes.count * kWidth) {
        const auto g = Channels<kWidth>::load(gy + row * d.channels + c);
        for (int k = 0; k < 4; ++k)
          if (sample.token[k] >= 0) dots[k] += g.dot(Channels<kWidth>::load(values + sample.token[k] * pitch + c));
      }
      for (float& dot : dots) dot = lanes.sum(dot);
      if (!mine || lanes.lane() != 0) continue;
      const BilinearSample at = sample.place();
      const int level = (first + s) / d.points;
      const i64 out = i64{row} * d.samples() + first + s;
      gattention[out] = at.blend(dots);
      glocations[2 * out] = sample.attention * static_cast<float>(d.width[level]) * at.slope_right(dots);
      glocations[2 * out + 1] = sample.attention * static_cast<float>(d.height[level]) * at.slope_down(dots);
    }
    __syncthreads();
  }
}

// Cells are numbered image by image, head by head, level by level.
__global__ void cells_kernel(Dims d, i64 samples, const float* locations, i32* keys) {
  for (const i64 i : indices(samples)) {
    const int level = static_cast<int>(i % d.samples()) / d.points;
    const i64 row = i / d.samples(), map = row / d.heads / d.queries * d.heads + row % d.heads;
    const BilinearSample sample = d.sample(locations + 2 * i, level);
    keys[i] = static_cast<i32>(sample.any() ? map * d.cells + d.first_cell[level] + cell_of(sample, d.width[level])
                                            : d.images * d.heads * d.cells);
  }
}

// A row of lanes is a token of a head: [images, tokens, heads].
template <class T, int kWidth>
__global__ void ms_deform_attn_backward_value_kernel(Dims d, RowLanes lanes, GroupsView by_cell, const T* gy,
                                                     const float* locations, const float* attention, T* gvalue) {
  const u32 row = lanes.row(), samples = static_cast<u32>(d.samples());
  if (row >= lanes.rows) return;
  const u32 token = row / d.heads % d.tokens, map = row / d.heads / d.tokens * d.heads + row % d.heads;
  int level = d.levels - 1;
  while (d.first[level] > token) --level;
  const int pixel = static_cast<int>(token - d.first[level]), W = d.width[level];
  const i64 base = map * d.cells + d.first_cell[level];
  for (i64 c = lanes.lane() * kWidth; c < d.channels; c += lanes.count * kWidth) {
    auto sum = Channels<kWidth>::zero();
    each_reader(by_cell, base, W, pixel / W, pixel % W, [&](u32 i, int k) {
      sum.add(d.sample(locations + 2 * i, level).weight(k) * attention[i],
              Channels<kWidth>::load(gy + i / samples * d.channels + c));
    });
    sum.store(gvalue + row * d.channels + c);
  }
}

void ms_deform_attn_cuda(const Tensor& value, const std::vector<ops::LevelSize>& levels, const Tensor& locations,
                         const Tensor& attention, Tensor& y) {
  const Dims d = dims_of("ms_deform_attn", value, levels, attention);
  dispatch_storage(value, [&]<class T>() {
    const T* values = value.device_data<T>();
    T* out = y.device_data<T>();
    dispatch_width(by_four(d.channels, values, out), [&]<int kWidth>() {
      const RowLanes lanes(d.rows(), std::max<i64>(kFewestLanes, ceil_div(d.channels, kWidth)));
      launch<ms_deform_attn_kernel<T, kWidth>>(lanes.launch(), d, lanes, values, locations.device_data<float>(),
                                               attention.device_data<float>(), out);
    });
  });
}

void ms_deform_attn_backward_cuda(const Tensor& gy, const Tensor& value, const std::vector<ops::LevelSize>& levels,
                                  const Tensor& locations, const Tensor& attention, Tensor& gvalue, Tensor& glocations,
                                  Tensor& gattention) {
  const char* const op = "ms_deform_attn_backward";
  const Dims d = dims_of(op, value, levels, attention);
  const float *at = locations.device_data<float>(), *weights = attention.device_data<float>();
  const i64 samples = attention.numel(), cells = d.images * d.heads * d.cells;
  check_keys(op, samples, cells);
  Tensor keys = Tensor::empty({samples}, DType::kI32, value.device());
  launch<cells_kernel>(over(samples), d, samples, at, keys.device_data<i32>());
  const Groups by_cell = group_by_key(std::move(keys), cells);
  dispatch_storage(value, [&]<class T>() {
    const T *g = gy.device_data<T>(), *values = value.device_data<T>();
    T* to = gvalue.device_data<T>();
    dispatch_width(by_four(d.channels, g, values, to), [&]<int kWidth>() {
      const RowLanes lanes(d.rows(), std::max<i64>(kFewestLanes, ceil_div(d.channels, kWidth)), kWarp);
      launch<ms_deform_attn_backward_samples_kernel<T, kWidth>>(lanes.launch(), d, lanes, g, values, at, weights,
                                                                glocations.device_data<float>(),
                                                                gattention.device_data<float>());
      const RowLanes tokens(d.images * d.tokens * d.heads, ceil_div(d.channels, kWidth));
      launch<ms_deform_attn_backward_value_kernel<T, kWidth>>(tokens.launch(), d, tokens, GroupsView(by_cell), g, at,
                                                              weights, to);
    });
  });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::ms_deform_attn_kernels.add(kDevice, ms_deform_attn_cuda),
    ops::ms_deform_attn_backward_kernels.add(kDevice, ms_deform_attn_backward_cuda),
};

}  // namespace

}  // namespace tessera
