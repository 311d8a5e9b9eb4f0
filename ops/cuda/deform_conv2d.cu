// Deformable convolution in CUDA: matrix products (ops/cuda/gemm.h) of sampled columns, a chunk of output pixels at a
// time, so that the columns never take more than kColumnBytes.
//
//   forward   y = columns w^T            columns [pixels, groups, T, I]
//   weight    gw += gy^T columns
//   the rest  gcolumns = gy w, then
//             offset, mask   per sample four dot products of corners and gcolumns, summed over the lanes
//             x              the chunk's samples grouped by the cell that they lie in (ops/cuda/group_by_key.h): each
//                            pixel of the images that the chunk lies in sums the samples of its four cells, in order,
//                            and adds the sum to gx: chunk by chunk, a fixed order
//
// Forward on tensor cores (ops/cuda/patch_product.h), where the precision and the channels allow it, there are no
// columns: a block samples straight into its tile. Columns have x's element type; the sums over chunks are f32. Lanes
// share the channels of a sample or of a pixel. Per position and channel sampling reads 4 values, mostly from the
// cache, and writes 1; the product does 2 O flops with it and is what bounds all three.
#include "ops/cuda/channels.h"
#include "ops/cuda/deform_chunk.h"
#include "ops/cuda/gemm.h"
#include "ops/cuda/patch_product.h"

namespace tessera {

namespace {

using namespace cuda;
using Chunk = DeformChunk;

// In x's element type.
Tensor columns_of(const ops::DeformConv2dDims& dims, i64 pixels, const Tensor& x) {
  return Tensor::empty({pixels, dims.positions() * dims.conv.Ci}, x.dtype(), x.device());
}

// f.operator()<kWidth>() for pieces of channels that always lie in one sample and one group, side by side.
template <class T, class F>
void dispatch_samples(const ops::DeformConv2dDims& dims, const Tensor& x, const Tensor& columns, const F& f) {
  dispatch_pieces<T>(dims.offset_channels() | dims.conv.group_in(), {x.raw(), columns.raw()}, f);
}

template <class T, int kWidth>
__global__ void columns_kernel(Chunk chunk, RowLanes lanes, const T* __restrict__ x, T* __restrict__ columns) {
  const u32 i = lanes.row();
  if (i >= lanes.rows) return;
  const BilinearSample sample = chunk.sample(i);
  const float mask = chunk.mask_of(i);
  const T* const map = x + i64{chunk.image(i)} * chunk.H * chunk.W * chunk.C;
  const u32 begin = chunk.offset_group(i) * chunk.offset_channels(), end = begin + chunk.offset_channels();
#pragma unroll 2
  for (u32 c = begin + lanes.lane() * kWidth; c < end; c += lanes.count * kWidth) {
    Channels<kWidth> corners[4];
    for (int k = 0; k < 4; ++k) {
      const bool inside = sample.inside(k, chunk.H, chunk.W);
      corners[k] = Channels<kWidth>::load_if(inside, map + (inside ? pixel_of(sample, k, chunk.W) * chunk.C + c : 0));
    }
    auto sum = Channels<kWidth>::zero();
    for (int k = 0; k < 4; ++k)
      if (sample.inside(k, chunk.H, chunk.W)) sum.add(mask * sample.weight(k), corners[k]);
    sum.store(columns + chunk.column(i, c));
  }
}

void sample_columns(const ops::DeformConv2dDims& dims, const Chunk& chunk, const Tensor& x, Tensor& columns) {
  dispatch_storage(x, [&]<class T>() {
    dispatch_samples<T>(dims, x, columns, [&]<int kWidth>() {
      constexpr int kEach = 2;  // pieces of a lane: where the sample lies is found half as often
      const RowLanes lanes(chunk.samples(), ceil_div(chunk.offset_channels(), kEach * kWidth));
      launch<columns_kernel<T, kWidth>>(lanes.launch(), chunk, lanes, x.device_data<T>(), columns.device_data<T>());
    });
  });
}

template <class T, int kWidth>
__global__ void backward_samples_kernel(Chunk chunk, RowLanes lanes, const T* gcolumns, const T* x, float* goffset,
                                        float* gmask) {
  const u32 i = lanes.row();
  const bool mine = i < lanes.rows;  // all lanes stay for the sums
  const BilinearSample sample = mine ? chunk.sample(i) : BilinearSample{};
  const T* const map = mine ? x + i64{chunk.image(i)} * chunk.H * chunk.W * chunk.C : x;
  const u32 begin = chunk.offset_group(i) * chunk.offset_channels(), end = begin + chunk.offset_channels();
  float dots[4] = {};  // of each corner's channels with the gradient
  for (u32 c = begin + lanes.lane() * kWidth; c < end && sample.any(); c += lanes.count * kWidth) {
    const auto g = Channels<kWidth>::load(gcolumns + chunk.column(i, c));
    for (int k = 0; k < 4; ++k)
      if (sample.inside(k, chunk.H, chunk.W))
        dots[k] += g.dot(Channels<kWidth>::load(map + pixel_of(sample, k, chunk.W) * chunk.C + c));
  }
  for (float& dot : dots) dot = lanes.sum(dot);
  if (!mine || lanes.lane() != 0) return;
  const i64 entry = chunk.entry(i);
  const float mask = chunk.mask_of(i);
  goffset[2 * entry] = mask * sample.slope_down(dots);
  goffset[2 * entry + 1] = mask * sample.slope_right(dots);
  if (gmask) gmask[entry] = sample.blend(dots);
}

// The images that the chunk's pixels are of: first, first + 1, ...
struct Images {
  u32 first, count;
  i64 cells;  // of one image
};

// Cells are numbered image by image, offset group by offset group. weights: what the corners add of gcolumns.
__global__ void cells_kernel(Chunk chunk, Images images, i32* keys, float* weights) {
  for (const i64 index : indices(chunk.samples())) {
    const u32 i = static_cast<u32>(index);
    const BilinearSample sample = chunk.sample(i);
    const u32 map = (chunk.image(i) - images.first) * chunk.offset_groups + chunk.offset_group(i);
    keys[i] = static_cast<i32>(sample.any() ? map * images.cells + cell_of(sample, chunk.W)
                                            : images.count * chunk.offset_groups * images.cells);
    for (int k = 0; k < 4; ++k) weights[4 * index + k] = chunk.mask_of(i) * sample.weight(k);
  }
}

// A row of lanes is a pixel of one of the images. gx +=
template <class T, int kWidth>
__global__ void backward_input_kernel(Chunk chunk, Images images, RowLanes lanes, GroupsView by_cell,
                                      const float* weights, const T* gcolumns, float* gx) {
  const u32 pixel = lanes.row(), W = static_cast<u32>(chunk.W), H = static_cast<u32>(chunk.H);
  if (pixel >= lanes.rows) return;
  const int u = static_cast<int>(pixel % W), v = static_cast<int>(pixel / W % H);
  float* const out = gx + (i64{images.first} * H * W + pixel) * chunk.C;
  for (u32 c = lanes.lane() * kWidth; c < chunk.C; c += lanes.count * kWidth) {
    const i64 base = (pixel / W / H * chunk.offset_groups + c / chunk.offset_channels()) * images.cells;
    auto sum = Channels<kWidth>::load(out + c);
    each_reader(by_cell, base, chunk.W, v, u, [&](u32 i, int k) {
      sum.add(weights[i64{i} * 4 + k], Channels<kWidth>::load(gcolumns + chunk.column(i, c)));
    });
    sum.store(out + c);
  }
}

void add_input_gradient(const ops::DeformConv2dDims& dims, const Chunk& chunk, const Tensor& gcolumns, Tensor& gx) {
  const i64 of_image = dims.conv.Ho * dims.conv.Wo, first = chunk.first / of_image;
  const i64 last = (i64{chunk.first} + chunk.pixels - 1) / of_image;
  const Images images{static_cast<u32>(first), static_cast<u32>(last - first + 1), cells_of(chunk.H, chunk.W)};
  const i64 cells = images.count * chunk.offset_groups * images.cells;
  check_keys("deform_conv2d_backward_input", chunk.samples(), cells);
  Tensor keys = Tensor::empty({chunk.samples()}, DType::kI32, gx.device());
  Tensor weights = Tensor::empty({chunk.samples(), 4}, DType::kF32, gx.device());
  launch<cells_kernel>(over(chunk.samples()), chunk, images, keys.device_data<i32>(), weights.device_data<float>());
  const Groups by_cell = group_by_key(std::move(keys), cells);
  dispatch_storage(gcolumns, [&]<class T>() {
    dispatch_samples<T>(dims, gx, gcolumns, [&]<int kWidth>() {
      const RowLanes lanes(i64{images.count} * chunk.H * chunk.W, ceil_div(chunk.C, kWidth));
      launch<backward_input_kernel<T, kWidth>>(lanes.launch(), chunk, images, lanes, GroupsView(by_cell),
                                               weights.device_data<float>(), gcolumns.device_data<T>(),
                                               gx.device_data<float>());
    });
  });
}

// A sample as the tile's threads read it, from shared memory: 16 times the pixel top left of it plus a bit for each
// corner that is inside.
struct alignas(16) PlacedSample {
  i32 place;
  float down, right, mask;
};
constexpr i64 kMostPixels = i64{1} << 27;
constexpr i64 kMostPlaced = 16;  // samples of an output pixel: 32 KB for a tile

// On tensor cores, for pieces of 16 bytes that lie in one group and one offset group. Block z: group. Where its pixels
// sample a block works out once, for all channels.
template <class Tile, class T>
__global__ void deform_conv2d_tensor_kernel(PatchDims d, Chunk all, const T* x, const T* weight, const T* bias, T* y) {
  const int group = static_cast<int>(blockIdx.z), channels = d.columns * static_cast<int>(gridDim.z);
  const int first_pixel = static_cast<int>(blockIdx.x) * Tile::kRows;
  const int of_pixel = static_cast<int>(all.offset_groups * all.positions);
  auto* const samples = reinterpret_cast<PlacedSample*>(dynamic_shared<std::byte>() + Tile::kShared);
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kRows * of_pixel; i += Tile::kThreads) {
    const int pixel = std::min(first_pixel + i / of_pixel, d.rows - 1);
    const u32 number = static_cast<u32>(pixel * of_pixel + i % of_pixel);
    const BilinearSample sample = all.sample(number);
    int place = static_cast<int>((i64{all.image(number)} * all.H * all.W + pixel_of(sample, 0, all.W)) * 16);
    for (int k = 0; k < 4; ++k) place += sample.inside(k, all.H, all.W) << k;
    samples[i] = {place, sample.down, sample.right, all.mask_of(number)};
  }
  __syncthreads();
  const auto sampled = [&](int pixel, int t, int i) {
    const u32 c = static_cast<u32>(group * d.width + i),
              number = c / all.offset_channels() * all.positions + static_cast<u32>(t);
    const PlacedSample at = samples[(pixel - first_pixel) * of_pixel + static_cast<int>(number)];
    const BilinearSample sample{.top = 0, .left = 0, .down = at.down, .right = at.right};
    const int step = static_cast<int>(all.C), corner = (at.place >> 4) * step + static_cast<int>(c);
    auto sum = Channels<Tile::kPiece>::zero();
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (at.place >> k & 1)
        sum.add(at.mask * sample.weight(k),
                Channels<Tile::kPiece>::load(x + (corner + k / 2 * all.W * step + k % 2 * step)));
    return sum;
  };
  patch_product<Tile, MadeRows>(d, weight + group * d.columns * d.positions * d.width, sampled,
                                [&](int pixel, int column, float sum) {
                                  const int o = group * d.columns + column;
                                  store(y + (pixel * channels + o), sum + (bias ? load(bias + o) : 0.0f));
                                });
}

// Whether it was one for tensor cores.
bool deform_conv2d_on_tensor_cores(const ops::DeformConv2dDims& dims, const Tensor& x, const Tensor& offset,
                                   const Tensor& mask, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const ops::Conv2dDims& conv = dims.conv;
  const i64 placed = dims.offset_groups * dims.positions();
  bool taken = false;
  dispatch_storage(x, [&]<class T>() {
    const T *from = x.device_data<T>(), *w = weight.device_data<T>();
    const i64 most = std::max({x.numel(), y.numel(), weight.numel(), offset.numel()});
    taken = on_tensor_cores<T>(conv.group_in(), most, from, w) && on_tensor_cores<T>(dims.offset_channels(), most) &&
            placed <= kMostPlaced && conv.N * conv.H * conv.W < kMostPixels;
    if (!taken) return;
    const Chunk all = whole_call(dims, offset, mask);
    const PatchDims d{static_cast<int>(all.pixels), static_cast<int>(conv.group_out()),
                      static_cast<int>(dims.positions()), static_cast<int>(conv.group_in())};
    dispatch_tile<T>(d.columns, [&]<class Tile>() {
      Launch shape = Tile::launch_of(d.rows, d.columns, conv.groups);
      shape.shared += static_cast<size_t>(Tile::kRows * placed) * sizeof(PlacedSample);
      launch<deform_conv2d_tensor_kernel<Tile, T>>(shape, d, all, from, w, data_or_null<T>(bias), y.device_data<T>());
    });
  });
  return taken;
}

void deform_conv2d_cuda(const ops::DeformConv2dDims& dims, const Tensor& x, const Tensor& offset, const Tensor& mask,
                        const Tensor& weight, const Tensor& bias, Tensor& y) {
  const ops::Conv2dDims& conv = dims.conv;
  const i64 O = conv.group_out(), depth = dims.positions() * conv.group_in();
  if (deform_conv2d_on_tensor_cores(dims, x, offset, mask, weight, bias, y)) return;
  each_chunk(dims, offset, mask, [&](const Chunk& chunk) {
    Tensor columns = columns_of(dims, chunk.pixels, x);
    sample_columns(dims, chunk, x, columns);
    dispatch_storage(x, [&]<class T>() {
      for (i64 group = 0; group < conv.groups; ++group)
        gemm(Gemm<T>{.M = chunk.pixels,
                     .N = O,
                     .K = depth,
                     .a = columns.device_data<T>() + group * depth,
                     .a_pitch = conv.groups * depth,
                     .b = weight.device_data<T>() + group * O * depth,
                     .b_pitch = depth,
                     .transpose_b = true,
                     .c = y.device_data<T>() + chunk.first * conv.Co + group * O,
                     .c_pitch = conv.Co,
                     .bias = bias.defined() ? bias.device_data<T>() + group * O : nullptr});
    });
  });
}

void deform_conv2d_backward_input_cuda(const ops::DeformConv2dDims& dims, const Tensor& gy, const Tensor& x,
                                       const Tensor& offset, const Tensor& mask, const Tensor& weight, Tensor& gx,
                                       Tensor& goffset, Tensor& gmask) {
  const ops::Conv2dDims& conv = dims.conv;
  const i64 O = conv.group_out(), depth = dims.positions() * conv.group_in();
  Tensor sums = f32_sums(gx);
  each_chunk(dims, offset, mask, [&](const Chunk& chunk) {
    Tensor gcolumns = columns_of(dims, chunk.pixels, x);
    dispatch_storage(x, [&]<class T>() {
      gemm(Gemm<T>{.batch = conv.groups,
                   .M = chunk.pixels,
                   .N = depth,
                   .K = O,
                   .a = gy.device_data<T>() + chunk.first * conv.Co,
                   .a_pitch = conv.Co,
                   .a_stride = O,
                   .b = weight.device_data<T>(),
                   .b_pitch = depth,
                   .b_stride = O * depth,
                   .c = gcolumns.device_data<T>(),
                   .c_pitch = conv.groups * depth,
                   .c_stride = depth});
      dispatch_samples<T>(dims, x, gcolumns, [&]<int kWidth>() {
        const RowLanes lanes(chunk.samples(), ceil_div(chunk.offset_channels(), kWidth), kWarp);
        launch<backward_samples_kernel<T, kWidth>>(lanes.launch(), chunk, lanes, gcolumns.device_data<T>(),
                                                   x.device_data<T>(), goffset.device_data<float>(),
                                                   mask.defined() ? gmask.device_data<float>() : nullptr);
      });
    });
    add_input_gradient(dims, chunk, gcolumns, sums);
  });
  store_sums(sums, gx);
}

void deform_conv2d_backward_weight_cuda(const ops::DeformConv2dDims& dims, const Tensor& gy, const Tensor& x,
                                        const Tensor& offset, const Tensor& mask, Tensor& gw) {
  const ops::Conv2dDims& conv = dims.conv;
  const i64 O = conv.group_out(), depth = dims.positions() * conv.group_in();
  if (conv.N * conv.Ho * conv.Wo == 0) return gw.fill(0);
  Tensor sums = f32_sums(gw);
  each_chunk(dims, offset, mask, [&](const Chunk& chunk) {
    Tensor columns = columns_of(dims, chunk.pixels, x);
    sample_columns(dims, chunk, x, columns);
    dispatch_storage(x, [&]<class T>() {
      gemm(Gemm<T, float>{.batch = conv.groups,
                          .M = O,
                          .N = depth,
                          .K = chunk.pixels,
                          .a = gy.device_data<T>() + chunk.first * conv.Co,
                          .a_pitch = conv.Co,
                          .a_stride = O,
                          .transpose_a = true,
                          .b = columns.device_data<T>(),
                          .b_pitch = conv.groups * depth,
                          .b_stride = depth,
                          .c = sums.device_data<float>(),
                          .c_pitch = depth,
                          .c_stride = O * depth,
                          .accumulate = chunk.first > 0});
    });
  });
  store_sums(sums, gw);
}

[[maybe_unused]] const bool kAdded[] = {
    ops::deform_conv2d_kernels.add(kDevice, deform_conv2d_cuda),
    ops::deform_conv2d_backward_input_kernels.add(kDevice, deform_conv2d_backward_input_cuda),
    ops::deform_conv2d_backward_weight_kernels.add(kDevice, deform_conv2d_backward_weight_cuda),
};

}  // namespace

}  // namespace tessera
