// What TIDE makes of one image: which detections are right, and what kind of mistake each other one is.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "eval/tide.h"

namespace tessera {

inline constexpr size_t kTideThresholds = 10;
inline double tide_threshold(size_t t) {  // 0.50, 0.55, ..., 0.95
  return static_cast<double>(50 + 5 * t) / 100;
}

struct TideScene {
  std::vector<i64> found;        // category of each detection, best score first
  std::vector<i64> truths;       // category of each annotation, crowd regions last
  size_t regular = 0;            // annotations that are no crowd region
  std::vector<double> overlaps;  // [found, truths]
  std::vector<u8> excused = {};  // per detection: its category was not looked for, or not completely; empty: none
};

enum class TideVerdict : u8 { kWrong, kRight, kIgnored };

struct TideMistake {
  TideError kind;
  size_t item;           // which detection; of kMiss which annotation
  i64 partner = -1;      // of kCls and kLoc: the annotation it is on
  bool counted = false;  // as a wrong detection in AP50: no miss, not in an ignored region
};

struct TideOutcome {
  std::vector<std::array<TideVerdict, kTideThresholds>> verdicts;  // per detection
  std::vector<u8> used;                                            // per regular annotation: found at 0.5
  std::vector<TideMistake> mistakes;                               // detections by score, then misses
};

// Matching: a detection takes the object of its class that it overlaps most (of equals the first) among those not taken
// yet, if the overlap reaches the threshold. What takes none is ignored if it is excused or overlaps a crowd region of
// its class by more than the threshold, else wrong. The kinds of mistakes are those of TideError, at 0.5; a detection
// in an ignored region has one too.
TideOutcome judge_tide(const TideScene& scene);

}  // namespace tessera
