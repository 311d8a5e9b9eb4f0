// Drawing on u8 [H, W, 3] RGB images: what predictions look like to a person.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "data/image.h"
#include "tensor/tensor.h"

namespace tessera {

using Colour = std::array<u8, 3>;

// Well separated hues: neighbouring indices differ by the golden angle.
Colour colour_of(i64 index);

// image = (1 - opacity) * image + opacity * colour where mask (u8 [H, W]) is set.
void blend_mask(Tensor& image, const Tensor& mask, Colour colour, double opacity);
// Paints the mask's border pixels: those with one outside the mask at most `thickness` pixels
// above, below, left or right of them.
void outline_mask(Tensor& image, const Tensor& mask, Colour colour, i64 thickness = 1);
// Box in pixels, drawn inside; parts outside the image are clipped.
void draw_box(Tensor& image, i64 x, i64 y, i64 width, i64 height, Colour colour, i64 thickness);

// A line of UTF-8 text in DejaVu Sans, `height` pixels from its highest ascent to its lowest descent, in black or white
// on a filled background as large as text_size says. Its top-left corner is (x, y), moved inside the image where the
// line would not fit. A character that the font lacks is drawn as an empty box, bytes that are no UTF-8 as U+FFFD.
ImageSize text_size(std::string_view text, i64 height);
void draw_text(Tensor& image, i64 x, i64 y, std::string_view text, i64 height, Colour background);

Tensor enlarge(const Tensor& image, i64 factor);         // every pixel becomes factor x factor; [H, W] or [H, W, 3]
Tensor beside(const Tensor& left, const Tensor& right);  // same height, with a gap of 4 white columns
// Images of one size, row by row from the left, `columns` to a row, with gaps of 4 white pixels.
Tensor tiled(const std::vector<Tensor>& images, i64 columns);
// A map of [0, highest] as a picture over a darkened image of the same size; f32 [H, W].
Tensor heat_map(const Tensor& image, const Tensor& map);

}  // namespace tessera
