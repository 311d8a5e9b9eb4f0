// The rules of the Cityscapes instance task for one class in one picture, and the curve made of many.
#pragma once

#include <array>
#include <vector>

#include "eval/cityscapes_eval.h"

namespace tessera {

struct CityscapesScene {
  struct Truth {
    i64 pixels = 0;
    bool is_object = false;  // else a group
  };
  struct Found {
    double confidence = 0;
    i64 pixels = 0;   // at least 1
    i64 ignored = 0;  // of these on ignored labels
  };
  struct Pair {  // those that meet
    size_t truth, found;
    i64 common;      // pixels
    double overlap;  // intersection over union
  };
  std::vector<Truth> truths;
  std::vector<Found> found;
  std::vector<Pair> pairs;
};

struct CityscapesExample {
  double confidence;
  bool right;
};

// What the AP of one class at one threshold is made of.
struct CityscapesEvidence {
  std::vector<CityscapesExample> examples;
  i64 missed = 0;        // objects that no detection overlaps enough
  bool counted = false;  // there is an object to find
};

// The evidence of one scene is added to that of the others; evaluate_cityscapes states the rules.
void judge_cityscapes(const CityscapesScene& scene, double threshold, CityscapesEvidence& evidence);

// NaN when there is nothing to find, 0 without an example.
double cityscapes_ap(CityscapesEvidence evidence);

}  // namespace tessera
