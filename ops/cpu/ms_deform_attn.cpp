// Multi-scale deformable attention on the CPU; ops/ms_deform_attn.h states the formula. The work is cut into queries
// and heads: the corners of the samples of one head are found at once, along the samples; then their channels are
// summed.
//
//   forward, locations, weights   threads share blocks of queries, and each goes through a block head by head: the
//                                 samples of neighbouring queries lie close together, and a head has few channels
//   value                         threads share the heads of the images: the channels of a head belong to one thread,
//                                 which goes through the queries in order. They are summed side by side, [S, d], and
//                                 only then go to their places between the other heads
#include "ops/ms_deform_attn.h"

#include <algorithm>
#include <list>
#include <vector>

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/ms_deform_attn.h"

namespace tessera::ops {
namespace {

// The sizes of a call, and what the inner loops need to know of each sample's level.
template <class T>
class Samples {
 public:
  Samples(const Tensor& value, const std::vector<LevelSize>& levels, const Tensor& attention)
      : images(value.dim(0)),
        queries(attention.dim(1)),
        heads(value.dim(2)),
        head_size(value.dim(3)),
        tokens(value.dim(1)),
        samples(attention.dim(3) * attention.dim(4)) {
    i64 token = 0;
    for (const LevelSize& level : levels) {
      width_.insert(width_.end(), attention.dim(4), static_cast<T>(level.width));
      height_.insert(height_.end(), attention.dim(4), static_cast<T>(level.height));
      level_.insert(level_.end(), attention.dim(4), token);
      line_.insert(line_.end(), attention.dim(4), level.width);
      token += level.height * level.width;
    }
  }

  // With `pixel` elements from one token to the next.
  simd::DeformAttnPlan<T> plan(i64 pixel) {
    std::vector<i64>& level = scaled_.emplace_back(level_);
    std::vector<i64>& line = scaled_.emplace_back(line_);
    for (i64& offset : level) offset *= pixel;
    for (i64& offset : line) offset *= pixel;
    return {width_.data(), height_.data(), level.data(), line.data(), pixel, samples, head_size};
  }

  i64 images, queries, heads, head_size, tokens, samples;

 private:
  std::vector<T> width_, height_;
  std::vector<i64> level_, line_;
  std::list<std::vector<i64>> scaled_;  // the plans point into it
};

// One thread's room for the corners of one query and head, and a row of channels for those outside.
template <class T>
class Room {
 public:
  explicit Room(const simd::DeformAttnPlan<T>& plan)
      : at_(static_cast<size_t>(4 * plan.samples)),
        numbers_(static_cast<size_t>(10 * plan.samples)),
        outside_(static_cast<size_t>(plan.channels)) {
    T* numbers = numbers_.data();
    corners = {at_.data(), numbers, numbers + 4 * plan.samples, numbers + 5 * plan.samples};
    dots = numbers + 6 * plan.samples;
  }
  T* outside() { return outside_.data(); }

  simd::DeformAttnCorners<T> corners;
  T* dots;

 private:
  std::vector<T*> at_;
  std::vector<T> numbers_, outside_;
};

// How many pieces of work, of so many multiply-adds each, are worth a thread's start.
i64 grain(i64 work) {
  return 1 + (i64{1} << 15) / (work + 1);
}

// Calls visit(plan, room, head) for every head of every query, with the corners of its samples in room.
template <class T, class Visit>
void each_head(Samples<T>& sizes, const Tensor& value_, const Tensor& locations_, const Tensor& attention_,
               const Visit& visit) {
  constexpr i64 kBlock = 512;  // queries: some rows of the finest level
  const simd::DeformAttnPlan<T> plan = sizes.plan(sizes.heads * sizes.head_size);
  T* value = const_cast<T*>(value_.data<T>());  // corners are found for reading and for writing; these are read
  const T *locations = locations_.data<T>(), *attention = attention_.data<T>();
  parallel_ranges(sizes.images * sizes.queries, grain(sizes.heads * sizes.samples * sizes.head_size),
                  [&](i64 begin, i64 end) {
                    Room<T> room(plan);
                    for (i64 block = begin; block < end; block += kBlock)
                      for (i64 m = 0; m < sizes.heads; ++m)
                        for (i64 q = block; q < std::min(block + kBlock, end); ++q) {
                          const i64 head = q * sizes.heads + m;
                          simd::deform_attn_kernels.get<T>().corners(
                              plan, locations + head * sizes.samples * 2, attention + head * sizes.samples,
                              value + q / sizes.queries * sizes.tokens * plan.pixel + m * sizes.head_size,
                              room.outside(), room.corners);
                          visit(plan, room, head);
                        }
                  });
}

template <class T>
void forward(const Tensor& value, const std::vector<LevelSize>& levels, const Tensor& locations,
             const Tensor& attention, Tensor& y_) {
  Samples<T> sizes(value, levels, attention);
  T* y = y_.data<T>();
  each_head(sizes, value, locations, attention, [&](const simd::DeformAttnPlan<T>& plan, Room<T>& room, i64 head) {
    simd::deform_attn_kernels.get<T>().attend(plan, room.corners, y + head * sizes.head_size);
  });
}

// The gradient of the values of head m of image n, given all that reads it.
template <class T>
void backward_value(const Samples<T>& sizes, const simd::DeformAttnPlan<T>& plan, i64 n, i64 m, const T* gy,
                    const T* locations, const T* attention, Room<T>& room, std::vector<T>& sums, T* gvalue) {
  std::fill(sums.begin(), sums.end(), T(0));
  for (i64 q = n * sizes.queries; q < (n + 1) * sizes.queries; ++q) {
    const i64 head = q * sizes.heads + m;
    simd::deform_attn_kernels.get<T>().corners(plan, locations + head * sizes.samples * 2,
                                               attention + head * sizes.samples, sums.data(), room.outside(),
                                               room.corners);
    simd::deform_attn_kernels.get<T>().scatter(plan, room.corners, gy + head * sizes.head_size);
  }
  for (i64 token = 0; token < sizes.tokens; ++token)
    std::copy_n(sums.data() + token * sizes.head_size, sizes.head_size,
                gvalue + ((n * sizes.tokens + token) * sizes.heads + m) * sizes.head_size);
}

template <class T>
void backward(const Tensor& gy_, const Tensor& value, const std::vector<LevelSize>& levels, const Tensor& locations_,
              const Tensor& attention_, Tensor& gvalue_, Tensor& glocations_, Tensor& gattention_) {
  Samples<T> sizes(value, levels, attention_);
  const T *gy = gy_.data<T>(), *locations = locations_.data<T>(), *attention = attention_.data<T>();
  T *gvalue = gvalue_.data<T>(), *glocations = glocations_.data<T>(), *gattention = gattention_.data<T>();
  each_head(sizes, value, locations_, attention_, [&](const simd::DeformAttnPlan<T>& plan, Room<T>& room, i64 head) {
    simd::deform_attn_kernels.get<T>().backward_weights(
        plan, room.corners, attention + head * sizes.samples, gy + head * sizes.head_size, room.dots,
        glocations + head * sizes.samples * 2, gattention + head * sizes.samples);
  });
  const simd::DeformAttnPlan<T> plan = sizes.plan(sizes.head_size);
  parallel_ranges(sizes.images * sizes.heads, grain(sizes.queries * sizes.samples * sizes.head_size),
                  [&](i64 begin, i64 end) {
                    Room<T> room(plan);
                    std::vector<T> sums(static_cast<size_t>(sizes.tokens * sizes.head_size));
                    for (i64 unit = begin; unit < end; ++unit)
                      backward_value(sizes, plan, unit / sizes.heads, unit % sizes.heads, gy, locations, attention,
                                     room, sums, gvalue);
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
