// The scores of a matching; ops/matching.h states the formulas.
#pragma once

#include <cmath>

#include "ops/matching.h"
#include "ops/scalar/host_device.h"

namespace tessera::scalar {
namespace {

// In f64: what is a tie on one device is one on all.
template <class T>
TESSERA_HD inline T dice_class_score(T dice, T probability, const ops::DiceClassScoreParams& p) {
  return static_cast<T>(std::pow(static_cast<double>(dice), p.dice_exponent) *
                        std::pow(static_cast<double>(probability), p.class_exponent));
}

// The pixels of two masks that lie in both and in either.
template <class Count>
struct Overlap {
  Count both = 0, either = 0;

  TESSERA_HD void add(bool in_mask, bool in_target) {
    both += in_mask && in_target;
    either += in_mask || in_target;
  }
  TESSERA_HD double iou() const { return static_cast<double>(both) / (static_cast<double>(either) + 1e-6); }
};

}  // namespace
}  // namespace tessera::scalar
