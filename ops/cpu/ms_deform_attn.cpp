// Multi-scale deformable attention on the CPU; ops/ms_deform_attn.h states the formula. The corners of all samples of
// one query are found at once, along the samples; then each head sums its corners' channels.
//
//   forward, locations, weights   threads share the queries
//   value                         threads share the heads of the images: the channels of a head belong to one thread,
//                                 which goes through the queries in order
#include "ops/ms_deform_attn.h"

#include <vector>

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/ms_deform_attn.h"

namespace tessera::ops {
namespace {

template <class T>
const DeformAttnKernels<T>& kernels() {
  static const DeformAttnKernels<T> kernels = [] {
    DeformAttnKernels<T> result;
    deform_attn_kernels_table.get<T>()(result);
    return result;
  }();
  return kernels;
}

// The sizes of a call, and per sample of a query what the inner loops need to know of its level.
template <class T>
class Samples {
 public:
  Samples(const Tensor& value, const std::vector<LevelSize>& levels, const Tensor& attention)
      : images(value.dim(0)),
        queries(attention.dim(1)),
        heads(value.dim(2)),
        head_size(value.dim(3)),
        image_size(value.shape().numel(1, 4)) {
    const i64 points = attention.dim(4), pixel = heads * head_size;
    for (i64 m = 0; m < heads; ++m) {
      i64 token = 0;
      for (const LevelSize& level : levels) {
        for (i64 p = 0; p < points; ++p) {
          width_.push_back(static_cast<T>(level.width));
          height_.push_back(static_cast<T>(level.height));
          level_.push_back(token * pixel + m * head_size);
          line_.push_back(level.width * pixel);
        }
        token += level.height * level.width;
      }
    }
    plan = {.width = width_.data(),
            .height = height_.data(),
            .level = level_.data(),
            .line = line_.data(),
            .pixel = pixel,
            .heads = heads,
            .head_size = head_size,
            .samples = static_cast<i64>(width_.size()),
            .head_samples = static_cast<i64>(width_.size()) / heads};
  }
  Samples(const Samples&) = delete;  // plan points into this one
  Samples& operator=(const Samples&) = delete;

  i64 images, queries, heads, head_size, image_size;
  DeformAttnPlan<T> plan;

 private:
  std::vector<T> width_, height_;
  std::vector<i64> level_, line_;
};

// One thread's room for the corners of `samples` samples.
template <class T>
class Room {
 public:
  Room(i64 samples, i64 head_size)
      : at_(static_cast<size_t>(4 * samples)),
        numbers_(static_cast<size_t>(10 * samples)),
        outside_(static_cast<size_t>(head_size)) {
    T* numbers = numbers_.data();
    corners = {at_.data(), numbers, numbers + 4 * samples, numbers + 5 * samples};
    dots = numbers + 6 * samples;
  }
  T* outside() { return outside_.data(); }

  DeformAttnCorners<T> corners;
  T* dots;

 private:
  std::vector<T*> at_;
  std::vector<T> numbers_, outside_;
};

constexpr i64 kQueries = 8;  // for which a thread is worth its start

template <class T>
void forward(const Tensor& value_, const std::vector<LevelSize>& levels, const Tensor& locations_,
             const Tensor& attention_, Tensor& y_) {
  const Samples<T> samples(value_, levels, attention_);
  const DeformAttnPlan<T>& plan = samples.plan;
  T* value = const_cast<T*>(value_.data<T>());  // corners are found for reading and for writing; these are read
  const T *locations = locations_.data<T>(), *attention = attention_.data<T>();
  T* y = y_.data<T>();
  parallel_ranges(samples.images * samples.queries, kQueries, [&](i64 begin, i64 end) {
    Room<T> room(plan.samples, samples.head_size);
    for (i64 q = begin; q < end; ++q) {
      kernels<T>().corners(plan, locations + q * plan.samples * 2, 0, plan.samples,
                           value + q / samples.queries * samples.image_size, room.outside(), room.corners);
      kernels<T>().attend(plan, room.corners, attention + q * plan.samples, y + q * plan.pixel);
    }
  });
}

template <class T>
void backward(const Tensor& gy_, const Tensor& value_, const std::vector<LevelSize>& levels, const Tensor& locations_,
              const Tensor& attention_, Tensor& gvalue_, Tensor& glocations_, Tensor& gattention_) {
  const Samples<T> samples(value_, levels, attention_);
  const DeformAttnPlan<T>& plan = samples.plan;
  T* value = const_cast<T*>(value_.data<T>());
  const T *gy = gy_.data<T>(), *locations = locations_.data<T>(), *attention = attention_.data<T>();
  T *gvalue = gvalue_.data<T>(), *glocations = glocations_.data<T>(), *gattention = gattention_.data<T>();
  parallel_ranges(samples.images * samples.queries, kQueries, [&](i64 begin, i64 end) {
    Room<T> room(plan.samples, samples.head_size);
    for (i64 q = begin; q < end; ++q) {
      kernels<T>().corners(plan, locations + q * plan.samples * 2, 0, plan.samples,
                           value + q / samples.queries * samples.image_size, room.outside(), room.corners);
      kernels<T>().backward_weights(plan, room.corners, attention + q * plan.samples, gy + q * plan.pixel, room.dots,
                                    glocations + q * plan.samples * 2, gattention + q * plan.samples);
    }
  });
  parallel_ranges(samples.images * samples.heads, 1, [&](i64 begin, i64 end) {
    Room<T> room(plan.head_samples, samples.head_size);
    for (i64 unit = begin; unit < end; ++unit) {
      const i64 n = unit / samples.heads, m = unit % samples.heads, first = m * plan.head_samples;
      for (i64 q = n * samples.queries; q < (n + 1) * samples.queries; ++q) {
        kernels<T>().corners(plan, locations + q * plan.samples * 2, first, plan.head_samples,
                             gvalue + n * samples.image_size, room.outside(), room.corners);
        kernels<T>().scatter(plan, room.corners, attention + q * plan.samples + first,
                             gy + q * plan.pixel + m * samples.head_size);
      }
    }
  });
}

void ms_deform_attn_cpu(const Tensor& value, const std::vector<LevelSize>& levels, const Tensor& locations,
                        const Tensor& attention, Tensor& y) {
  dispatch_float(value.dtype(), "ms_deform_attn",
                 [&]<class T>() { forward<T>(value, levels, locations, attention, y); });
}

void ms_deform_attn_backward_cpu(const Tensor& gy, const Tensor& value, const std::vector<LevelSize>& levels,
                                 const Tensor& locations, const Tensor& attention, Tensor& gvalue, Tensor& glocations,
                                 Tensor& gattention) {
  dispatch_float(value.dtype(), "ms_deform_attn_backward", [&]<class T>() {
    backward<T>(gy, value, levels, locations, attention, gvalue, glocations, gattention);
  });
}

const bool kAdded = ms_deform_attn_kernels.add(DeviceKind::kCpu, ms_deform_attn_cpu) &&
                    ms_deform_attn_backward_kernels.add(DeviceKind::kCpu, ms_deform_attn_backward_cpu);

}  // namespace
}  // namespace tessera::ops
