// Operators that sample between pixels.
#include <fmt/core.h>

#include <cmath>
#include <numeric>

#include "bench/bench.h"
#include "data/sample.h"
#include "models/sparseinst/mask_resampler.h"
#include "ops/deform_conv2d.h"
#include "ops/ms_deform_attn.h"
#include "ops/normalize_pad.h"
#include "ops/roi_align.h"

namespace tessera::bench {

namespace {

// v2, 256 -> 256 channels, 3x3, 80 x 80 pixels
struct Deformable {
  ops::DeformConv2dParams params{.padding = 1};
  Tensor x = random_tensor({1, 80, 80, 256}), w = random_tensor({256, 3, 3, 256}), gy = random_tensor({1, 80, 80, 256});
  Tensor offset = random_tensor({1, 80, 80, 18}), mask = random_tensor({1, 80, 80, 9});
};

void deformable(Cases& cases) {
  const double operations = 2.0 * 80 * 80 * 256 * 9 * 256;
  cases.push_back({.group = "sampling",
                   .name = "deform_conv2d v2 256->256 3x3 @80",
                   .peer = {{"op", "deform_conv2d"}, {"what", "forward"}},
                   .make = []() -> Call {
                     return [d = Deformable()] { ops::deform_conv2d(d.x, d.offset, d.mask, d.w, Tensor(), d.params); };
                   },
                   .operations = operations});
  cases.push_back({.group = "sampling",
                   .name = "deform_conv2d v2, all four gradients",
                   .peer = {{"op", "deform_conv2d"}, {"what", "backward"}},
                   .make = []() -> Call {
                     return [d = Deformable()] {
                       ops::deform_conv2d_backward_input(d.gy, d.x, d.offset, d.mask, d.w, d.params);
                       ops::deform_conv2d_backward_weight(d.gy, d.x, d.offset, d.mask, d.w.shape(), d.params);
                     };
                   },
                   .operations = 2 * operations});
}

// Rows (image 0, x0, y0, x1, y1) in a picture of 640 x 640, sides of 16 to 136.
Tensor random_boxes(i64 count) {
  const Tensor draws = random_host_tensor({count, 4}, 0, 1);
  Tensor boxes = Tensor::zeros({count, 5});
  for (i64 i = 0; i < count; ++i) {
    const float* draw = draws.data<float>() + 4 * i;
    float* box = boxes.data<float>() + 5 * i + 1;
    for (int axis = 0; axis < 2; ++axis) {
      box[axis] = 500 * draw[axis];
      box[axis + 2] = box[axis] + 16 + 120 * draw[axis + 2];
    }
  }
  return boxes.to(device());
}

// 1000 boxes, sampling ratio 2, on a map of 160 x 160 x 256.
void roi_align(Cases& cases) {
  for (const i64 size : {14, 7})
    for (const char* what : {"forward", "backward"})
      cases.push_back({.group = "sampling",
                       .name = fmt::format("roi_align 1000 x 256 x {0} x {0} @160 {1}", size, what),
                       .peer = {{"op", "roi_align"}, {"size", size}, {"what", what}},
                       .make = [=]() -> Call {
                         const ops::RoiAlignParams params{size, size, 0.25, 2, true};
                         const Tensor x = random_tensor({1, 160, 160, 256}), boxes = random_boxes(1000);
                         if (what[0] == 'f') return [=] { ops::roi_align(x, boxes, params); };
                         return [=, gy = random_tensor({1000, size, size, 256})] {
                           ops::roi_align_backward(gy, boxes, x.shape(), params);
                         };
                       },
                       .bytes = 4.0 * 256 * static_cast<double>(1000 * size * size + 160 * 160)});
}

// 8500 queries, 8 heads, 4 levels, 4 points, 256 channels.
void multi_scale_attention(Cases& cases) {
  for (const char* what : {"forward", "backward"})
    cases.push_back({.group = "sampling",
                     .name = fmt::format("msda 8500 queries, 8 heads, 4 x 4 points {}", what),
                     .peer = {{"op", "msda"}, {"what", what}},
                     .make = [=]() -> Call {
                       const std::vector<ops::LevelSize> levels = {{80, 80}, {40, 40}, {20, 20}, {10, 10}};
                       const Tensor value = random_tensor({1, 8500, 8, 32});
                       const Tensor places = random_tensor({1, 8500, 8, 4, 4, 2}, 0, 1);
                       const Tensor weights = random_tensor({1, 8500, 8, 4, 4}, 0, 0.125);
                       if (what[0] == 'f') return [=] { ops::ms_deform_attn(value, levels, places, weights); };
                       return [=, gy = random_tensor({1, 8500, 256})] {
                         ops::ms_deform_attn_backward(gy, value, levels, places, weights);
                       };
                     },
                     .bytes = 4.0 * 8500 * (256 * 2 + 8 * 16 * 3)});
}

// From logits at stride 4 to the pixels above the threshold: ours writes run lengths. Round objects, as masks are, and
// noise, which has thirty times as many runs.
void mask_upsampling(Cases& cases) {
  const auto add = [&](const std::string& what, const std::function<Tensor()>& make_logits) {
    cases.push_back(
        {.group = "sampling",
         .name = "100 masks 160 x 160 -> 640 x 640, > 0.45, " + what,
         .peer = {{"op", "mask_upsampling"}},
         .make = [=]() -> Call {
           const sparseinst::MaskResampler resampler({160, 160}, {640, 640}, {640, 640}, {640, 640}, device());
           return [=, logits = make_logits().to(device())] {
             ops::mask_runs(logits, {}, resampler.rows, resampler.columns, 0.45, 1 << 24);
           };
         }});
  };
  add("objects", [] {
    Tensor logits = Tensor::empty({100, 160, 160});
    for (i64 i = 0; i < logits.numel(); ++i) {
      const double k = static_cast<double>(i / 25600), y = static_cast<double>(i / 160 % 160) - 30 - k,
                   x = static_cast<double>(i % 160) - 120 + k;
      logits.data<float>()[i] = static_cast<float>(-0.3 * (std::hypot(x, y) - 10 - k / 4));
    }
    return logits;
  });
  add("noise", [] {
    Tensor logits = random_host_tensor({100, 160, 160}, 1e-6, 1 - 1e-6);  // probabilities
    for (float& p : logits.span<float>()) p = std::log(p / (1 - p));
    return logits;
  });
}

// What a network takes: f32, normalised, padded to one size.
void pictures(Cases& cases) {
  cases.push_back({.group = "sampling",
                   .name = "8 pictures 608 x 811 normalised, padded to 608 x 832",
                   .peer = {{"op", "normalize_pad"}},
                   .make = []() -> Call {
                     const PixelStatistics statistics;
                     const Tensor image = random_host_tensor({608, 811, 3}, 0, 255).to(DType::kU8).to(device());
                     return [=, images = std::vector<Tensor>(8, image)] {
                       ops::normalize_pad(images, statistics.mean, statistics.std, 608, 832);
                     };
                   },
                   .bytes = 8.0 * 608 * 3 * (811 + 4 * 832)});
}

}  // namespace

void sampling_cases(Cases& cases) {
  roi_align(cases);
  deformable(cases);
  multi_scale_attention(cases);
  mask_upsampling(cases);
  pictures(cases);
}

}  // namespace tessera::bench
