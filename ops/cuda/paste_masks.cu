// Pasting of masks in CUDA; ops/paste_masks.h states the formula. The picture is cut into strips of kRows rows, one
// block per strip and mask; a thread has kPixels neighbouring columns, finds once which cells they blend, and writes
// them for each row in turn. Only the box's region reads the mask, which stays in the cache; everywhere else zeros are
// written: the picture's R H W bytes bound it. The strips' sums are added in order by a second kernel.
#include "ops/cuda/block_reduce.h"
#include "ops/paste_masks.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kRows = 16, kPixels = 4, kThreads = 128;

// One axis of a box: position of pixels in cells, which pixels see the mask: [begin, end). f64, as on the CPU: whether
// a pixel is predicted must not depend on the device more than rounding makes it.
struct Axis {
  double low, size, cells;
  i64 begin, end;

  __device__ double position(i64 pixel) const { return (static_cast<double>(pixel) + 0.5 - low) / size * cells - 0.5; }
  __device__ bool sees(i64 pixel) const {
    const double at = position(pixel);
    return at >= -1 && at < cells;
  }
};

__device__ double clamped(double x, double low, double high) {
  return std::fmin(std::fmax(x, low), high);
}

__device__ Axis axis_of(float from, float to, i64 pixels, i64 cells) {
  const double low = from, high = to, size = high - low, last = static_cast<double>(pixels);
  Axis axis{low, size, static_cast<double>(cells), 0, 0};
  if (!std::isfinite(size) || !std::isfinite(low) || size == 0) return axis;
  // p is 0 beyond half a cell outside the box; one pixel more on either side is looked at.
  const double fade = 0.5 * std::fabs(size) / axis.cells;
  axis.begin = static_cast<i64>(clamped(std::floor(std::fmin(low, high) - fade) - 1, 0, last));
  axis.end = static_cast<i64>(clamped(std::ceil(std::fmax(low, high) + fade) + 1, 0, last));
  while (axis.begin < axis.end && !axis.sees(axis.begin)) ++axis.begin;
  while (axis.begin < axis.end && !axis.sees(axis.end - 1)) --axis.end;
  return axis;
}

struct Dims {
  i64 height, width;  // the picture
  i64 h, w, strips;   // the mask's cells
};

// Which two cells a pixel blends, `below` - 1 and `below`; of those outside the mask nothing is read.
struct Blend {
  i64 below;
  float fraction;
  __device__ static Blend at(double position) {
    const double cell = std::floor(position);
    return {static_cast<i64>(cell) + 1, static_cast<float>(position - cell)};
  }
};

// What is written at once.
struct alignas(kPixels) Predicted {
  u8 pixel[kPixels];
};

// sums, areas: [R, strips].
__global__ void paste_masks_kernel(Dims d, const float* masks, const float* boxes, float threshold, i64* regions,
                                   double* sums, i32* areas, u8* pasted) {
  const i64 r = blockIdx.x, strip = blockIdx.y, top = strip * kRows;
  const float *mask = masks + r * d.h * d.w, *box = boxes + r * 4;
  Axis columns = axis_of(box[0], box[2], d.width, d.w), rows = axis_of(box[1], box[3], d.height, d.h);
  if (columns.begin == columns.end || rows.begin == rows.end)
    columns.begin = columns.end = rows.begin = rows.end = 0;  // empty
  if (strip == 0 && threadIdx.x == 0) {
    regions[4 * r] = columns.begin, regions[4 * r + 1] = rows.begin;
    regions[4 * r + 2] = columns.end, regions[4 * r + 3] = rows.end;
  }
  double sum = 0;
  i32 area = 0;
  for (i64 first = static_cast<i64>(threadIdx.x) * kPixels; first < d.width; first += kThreads * kPixels) {
    Blend across[kPixels];
    for (int i = 0; i < kPixels; ++i) across[i] = Blend::at(columns.position(first + i));
    for (i64 y = top; y < top + kRows && y < d.height; ++y) {
      const bool row_sees = y >= rows.begin && y < rows.end;
      const Blend down = row_sees ? Blend::at(rows.position(y)) : Blend{0, 0};
      const float upper_weight = down.below >= 1 ? 1 - down.fraction : 0.0f;
      const float lower_weight = down.below < d.h ? down.fraction : 0.0f;
      const float* const upper = mask + (down.below >= 1 ? down.below - 1 : 0) * d.w;
      const float* const lower = mask + (down.below < d.h ? down.below : d.h - 1) * d.w;
      const auto cell = [&](i64 x) {
        return x >= 0 && x < d.w ? upper_weight * upper[x] + lower_weight * lower[x] : 0.0f;
      };
      Predicted predicted{};
      float row_sum = 0;
      for (int i = 0; i < kPixels; ++i) {
        if (!row_sees || first + i < columns.begin || first + i >= columns.end) continue;
        const float left = cell(across[i].below - 1), right = cell(across[i].below);
        const float p = left + across[i].fraction * (right - left);
        predicted.pixel[i] = p > threshold;
        area += predicted.pixel[i];
        if (predicted.pixel[i]) row_sum += p;
      }
      sum += static_cast<double>(row_sum);
      u8* const out = pasted + (r * d.height + y) * d.width + first;
      if (d.width % kPixels == 0) {
        *reinterpret_cast<Predicted*>(out) = predicted;
      } else {
        for (int i = 0; i < kPixels && first + i < d.width; ++i) out[i] = predicted.pixel[i];
      }
    }
  }
  sum = block_sum(sum);
  area = block_sum(area);
  if (threadIdx.x == 0) sums[r * d.strips + strip] = sum, areas[r * d.strips + strip] = area;
}

__global__ void add_strips_kernel(i64 masks, i64 strips, const double* strip_sums, const i32* strip_areas, float* sums,
                                  i64* areas) {
  for (const i64 r : indices(masks)) {
    double sum = 0;
    i64 area = 0;
    for (i64 s = 0; s < strips; ++s) sum += strip_sums[r * strips + s], area += strip_areas[r * strips + s];
    sums[r] = static_cast<float>(sum);
    areas[r] = area;
  }
}

void paste_masks_cuda(const Tensor& masks, const Tensor& boxes, double threshold, Tensor& regions, Tensor& areas,
                      Tensor& sums, Tensor& pasted) {
  const i64 R = masks.dim(0), strips = ceil_div(pasted.dim(1), kRows);
  const Dims d{pasted.dim(1), pasted.dim(2), masks.dim(1), masks.dim(2), strips};
  Tensor strip_sums = Tensor::empty({R, strips}, DType::kF64, masks.device());
  Tensor strip_areas = Tensor::empty({R, strips}, DType::kI32, masks.device());
  const Launch shape{.grid = {static_cast<unsigned>(R), static_cast<unsigned>(strips)}, .block = kThreads};
  launch<paste_masks_kernel>(shape, d, masks.device_data<float>(), boxes.device_data<float>(),
                             static_cast<float>(threshold), regions.device_data<i64>(),
                             strip_sums.device_data<double>(), strip_areas.device_data<i32>(),
                             pasted.device_data<u8>());
  launch<add_strips_kernel>(over(R), R, strips, strip_sums.device_data<double>(), strip_areas.device_data<i32>(),
                            sums.device_data<float>(), areas.device_data<i64>());
}

[[maybe_unused]] const bool kAdded = ops::paste_masks_kernels.add(kDevice, paste_masks_cuda);

}  // namespace

}  // namespace tessera
