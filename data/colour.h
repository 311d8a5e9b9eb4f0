// Colour jitter, as torchvision's ColorJitter.
#pragma once

#include "tensor/fields.h"
#include "tensor/random.h"

namespace tessera {

// How far each may go; 0 leaves it as it is and draws nothing.
struct ColourJitter {
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  bool any() const { return brightness > 0 || contrast > 0 || saturation > 0 || hue > 0; }

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(brightness, "colours are multiplied by a factor uniform in [max(0, 1 - this), 1 + this]",
                  at_least(0));
    TESSERA_FIELD(contrast, "the same of their distance from the picture's mean grey", at_least(0));
    TESSERA_FIELD(saturation, "the same of their distance from their own grey", at_least(0));
    TESSERA_FIELD(hue, "turned by a share of the colour circle uniform in [-this, this]", between(0, 0.5));
  }
};

// The four on a picture u8 [H, W, 3], in a random order, with grey = 0.299 R + 0.587 G + 0.114 B; hue is that of HSV.
// Values are cut off at 0 and 255 after each and rounded once, at the end, where torchvision rounds after each.
void jitter_colours(Tensor& image, const ColourJitter& jitter, Random& random);

}  // namespace tessera
