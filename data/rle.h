// Run-length masks, as the COCO mask API defines them.
//
// A mask [H, W] is read column by column (pixel index = x * H + y); the runs alternate background, foreground,
// background, ... and start with background. Canonical form: no empty run except perhaps the first, and no trailing
// empty run. Encoding gives the canonical form, everything else accepts any runs that add up to H * W.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace tessera {

using XywhBox = std::array<double, 4>;  // x, y, width, height; [0, 0, 1, 1] is exactly the first pixel

struct Rle {
  i64 height = 0, width = 0;
  std::vector<u32> counts;
  bool operator==(const Rle&) const = default;

  // From the pixels where the runs end, counted from the first pixel of the mask (ops/mask_runs.h).
  static Rle from_ends(i64 height, i64 width, std::span<const i32> ends);
};

// A mask whose runs lie elsewhere: in an Rle, or together with many others.
struct RleView {
  i64 height = 0, width = 0;
  std::span<const u32> counts;
  RleView() = default;
  RleView(i64 h, i64 w, std::span<const u32> runs) : height(h), width(w), counts(runs) {}
  RleView(const Rle& rle) : RleView(rle.height, rle.width, rle.counts) {}
};

// Throws unless both sides are in [1, 2^20] and the mask has fewer than 2^31 pixels.
void check_mask_size(i64 height, i64 width);

// Throws unless the size is acceptable and the runs add up to height * width. Runs that come from a file go through it.
void check_rle(RleView rle);

// u8 [H, W] <-> runs. Any value but 0 is foreground; decoding writes 0 and 1.
Rle encode_rle(const Tensor& mask);
Tensor decode_rle(const Rle& rle);
void decode_rle(const Rle& rle, std::span<u8> mask);  // into a row-major [H, W] block of exactly that size

// The compressed string of result files: runs (from the fourth on the difference to the run two before) in groups of
// five bits, lowest first, each plus 48; bit 5 says that more groups follow, bit 4 of the last one is the sign.
// Reading throws on characters outside 48..111, an unfinished or oversized number, a negative run, a wrong sum.
std::string rle_to_string(const Rle& rle);
Rle rle_from_string(std::string_view text, i64 height, i64 width);
void runs_from_string(std::string_view text, i64 height, i64 width,
                      std::vector<u32>& runs);  // in place of what is there

i64 rle_area(RleView rle);  // number of foreground pixels

// Number of pixels common to two masks of the same size.
i64 rle_common_area(RleView a, RleView b);

// Tight box of the foreground, [0, 0, 0, 0] when there is none. For runs that are not canonical: what the COCO tool
// makes of them (an empty foreground run counts the pixel before it).
XywhBox rle_bbox(RleView rle);

// Union (or intersection) of masks, folded from the left; a single mask comes back unchanged, no mask or masks of
// different sizes give an empty 0 x 0 mask, as the COCO tool does.
Rle rle_merge(std::span<const Rle> masks, bool intersect = false);

}  // namespace tessera
