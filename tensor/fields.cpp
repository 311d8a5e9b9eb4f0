#include "tensor/fields.h"

#include <cmath>

namespace tessera {

bool Interval::contains(double value) const {
  return std::isfinite(value) && (value > low || (has_low && value == low)) &&
         (value < high || (has_high && value == high)) && (step == 1 || std::fmod(value, step) == 0);
}

std::string Interval::str() const {
  std::string text;
  if (has_low && has_high) {
    text = fmt::format("from {} to {}", low, high);
  } else {
    if (std::isfinite(low)) text = fmt::format("{} {}", has_low ? "at least" : "above", low);
    if (std::isfinite(high))
      text += fmt::format("{}{} {}", text.empty() ? "" : " and ", has_high ? "at most" : "below", high);
  }
  if (step != 1) text += fmt::format("{}a multiple of {}", text.empty() ? "" : ", ", step);
  return text;
}

}  // namespace tessera
