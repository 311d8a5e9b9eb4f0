#include <algorithm>
#include <cmath>
#include <vector>

#include "data/draw.h"

#define STBTT_STATIC
#define STB_TRUETYPE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_truetype.h>
#pragma GCC diagnostic pop

// DejaVu Sans, in the program itself: TESSERA_FONT is the file that the build found.
asm(".pushsection .rodata\n"
    "tessera_font: .incbin \"" TESSERA_FONT
    "\"\n"
    ".popsection\n");
extern "C" [[gnu::visibility("hidden")]] const unsigned char tessera_font[];

namespace tessera {

namespace {

const stbtt_fontinfo& font() {
  static const stbtt_fontinfo loaded = [] {
    stbtt_fontinfo info;
    TESSERA_CHECK(stbtt_InitFont(&info, tessera_font, 0), "{} is no TrueType font", TESSERA_FONT);
    return info;
  }();
  return loaded;
}

constexpr int kReplacement = 0xFFFD;

// The character at the front of the text, which is cut off; kReplacement for a byte that begins none.
int take_character(std::string_view& text) {
  const u8 first = static_cast<u8>(text[0]);
  const size_t length = first < 0x80            ? 1
                        : first >> 5 == 0b110   ? 2
                        : first >> 4 == 0b1110  ? 3
                        : first >> 3 == 0b11110 ? 4
                                                : 0;
  int character = length == 1 ? first : first & (0x7F >> length);
  bool valid = length > 0 && length <= text.size();
  for (size_t i = 1; valid && i < length; ++i) {
    const u8 next = static_cast<u8>(text[i]);
    valid = next >> 6 == 0b10;
    character = character << 6 | (next & 0x3F);
  }
  text.remove_prefix(valid ? length : 1);
  return valid ? character : kReplacement;
}

struct Glyph {
  int index;
  float x;  // where it begins, in pixels from the left edge of the line's background
};

// Glyphs side by side, with a margin of a quarter of the height on both sides.
struct Line {
  std::vector<Glyph> glyphs;
  float scale;  // pixels per unit of the font
  int ascent;   // units from the top of the line to the baseline
  float width;

  Line(std::string_view text, i64 height)
      : scale(stbtt_ScaleForPixelHeight(&font(), static_cast<float>(height))), width(static_cast<float>(height) / 4) {
    const float margin = width;
    int descent = 0, gap = 0;
    stbtt_GetFontVMetrics(&font(), &ascent, &descent, &gap);
    while (!text.empty()) {
      const int index = stbtt_FindGlyphIndex(&font(), take_character(text));
      int advance = 0, bearing = 0;
      stbtt_GetGlyphHMetrics(&font(), index, &advance, &bearing);
      glyphs.push_back({index, width});
      width += static_cast<float>(advance) * scale;
    }
    width += margin;
  }
};

}  // namespace

ImageSize text_size(std::string_view text, i64 height) {
  return {height, static_cast<i64>(std::ceil(Line(text, height).width))};
}

void draw_text(Tensor& image, i64 x, i64 y, std::string_view text, i64 height, Colour background) {
  TESSERA_CHECK(height > 0, "draw_text: a height of at least 1 is needed, got {}", height);
  const Line line(text, height);
  const i64 width = static_cast<i64>(std::ceil(line.width));
  x = std::clamp<i64>(x, 0, std::max<i64>(0, image.dim(1) - width));
  y = std::clamp<i64>(y, 0, std::max<i64>(0, image.dim(0) - height));
  draw_box(image, x, y, width, height, background, std::min(width, height));
  const int brightness = 299 * background[0] + 587 * background[1] + 114 * background[2];
  const int ink = brightness > 140'000 ? 0 : 255;
  const i64 baseline = y + std::lround(static_cast<float>(line.ascent) * line.scale);
  std::vector<u8> covered;  // of one glyph: the share of each pixel
  for (const Glyph& glyph : line.glyphs) {
    const float begin = std::floor(glyph.x), shift = glyph.x - begin;
    int x0, y0, x1, y1;
    stbtt_GetGlyphBitmapBoxSubpixel(&font(), glyph.index, line.scale, line.scale, shift, 0, &x0, &y0, &x1, &y1);
    covered.assign(static_cast<size_t>(x1 - x0) * static_cast<size_t>(y1 - y0), 0);
    if (covered.empty()) continue;  // a space
    stbtt_MakeGlyphBitmapSubpixel(&font(), covered.data(), x1 - x0, y1 - y0, x1 - x0, line.scale, line.scale, shift, 0,
                                  glyph.index);
    const u8* share = covered.data();
    for (i64 row = baseline + y0; row < baseline + y1; ++row)
      for (i64 column = x + static_cast<i64>(begin) + x0, end = column + x1 - x0; column < end; ++column, ++share) {
        if (row < 0 || row >= image.dim(0) || column < 0 || column >= image.dim(1)) continue;
        u8* pixel = image.data<u8>() + (row * image.dim(1) + column) * 3;
        for (int c = 0; c < 3; ++c) pixel[c] = static_cast<u8>(pixel[c] + (ink - pixel[c]) * *share / 255);
      }
  }
}

}  // namespace tessera
