// Pasting of masks in CUDA; ops/paste_masks.h states the formula. The picture is cut into strips of kRows rows, one
// block per strip and mask; a thread has kPixels neighbouring columns, finds once which cells they blend, and writes
// them for each row in turn. Only the box's region reads the mask, which stays in the cache; everywhere else zeros are
// written: the picture's R H W bytes bound it. The strips' sums are added in order by a second kernel.
#include "ops/cuda/block_reduce.h"
#include "ops/paste_masks.h"
#include "ops/scalar/paste_masks.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kRows = 16, kPixels = 4, kThreads = 128;

struct Dims {
  i64 height, width;  // the picture
  i64 h, w, strips;   // the mask's cells
};

using Cells = scalar::PasteCells<float>;

// What is written at once.
struct alignas(kPixels) Predicted {
  u8 pixel[kPixels];
};

// sums, areas: [R, strips].
__global__ void paste_masks_kernel(Dims d, const float* masks, const float* boxes, float threshold, i64* regions,
                                   double* sums, i32* areas, u8* pasted) {
  const i64 r = blockIdx.x, strip = blockIdx.y, top = strip * kRows;
  const float *mask = masks + r * d.h * d.w, *box = boxes + r * 4;
  scalar::PasteAxis columns(box[0], box[2], d.width, d.w), rows(box[1], box[3], d.height, d.h);
  if (columns.begin == columns.end || rows.begin == rows.end)
    columns.begin = columns.end = rows.begin = rows.end = 0;  // empty
  if (strip == 0 && threadIdx.x == 0) {
    regions[4 * r] = columns.begin, regions[4 * r + 1] = rows.begin;
    regions[4 * r + 2] = columns.end, regions[4 * r + 3] = rows.end;
  }
  double sum = 0;
  i32 area = 0;
  for (i64 first = static_cast<i64>(threadIdx.x) * kPixels; first < d.width; first += kThreads * kPixels) {
    Cells across[kPixels];
    for (int i = 0; i < kPixels; ++i) across[i] = columns.cells_of<float>(first + i);
    for (i64 y = top; y < top + kRows && y < d.height; ++y) {
      const bool row_sees = y >= rows.begin && y < rows.end;
      const Cells down = row_sees ? rows.cells_of<float>(y) : Cells{0, 0};
      const float upper_weight = down.upper_weight(), lower_weight = down.lower_weight(d.h);
      const float *const upper = mask + down.upper() * d.w, *const lower = mask + down.lower(d.h) * d.w;
      const auto cell = [&](i64 x) {
        return x >= 0 && x < d.w ? upper_weight * upper[x] + lower_weight * lower[x] : 0.0f;
      };
      Predicted predicted{};
      float row_sum = 0;
      for (int i = 0; i < kPixels; ++i) {
        if (!row_sees || first + i < columns.begin || first + i >= columns.end) continue;
        const float left = cell(across[i].cell - 1), right = cell(across[i].cell);
        const float p = scalar::lerp(left, right, across[i].fraction);
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
