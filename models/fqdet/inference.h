// From the network's output to the objects of each picture: every pair of a query and a class is a candidate with score
// sigmoid(class logit), times sigmoid(box score) where there is one, or every query with its best class alone. The best
// candidates go through suppression within each class, and the best of what is left are the predictions.
#pragma once

#include "models/fqdet/head.h"
#include "models/segmenter.h"

namespace tessera::fqdet {

// P predictions, one picture after the other, by falling score; on the device of the output.
struct Predictions {
  Tensor query;            // i64 [P]: row of the N queries
  Tensor classes;          // i64 [P]
  Tensor scores;           // f32 [P]
  Tensor boxes;            // f32 [P, 4]: x1 y1 x2 y2 in pixels of the padded batch, not clipped
  std::vector<i64> first;  // B + 1: picture b has the rows first[b] .. first[b + 1] - 1
};

// As many as are given in place of what is found, all of score 1: prediction i is of query i mod queries, with class
// i / queries.
Predictions given_predictions(const Output& output, const Segmenter::Found& given);

enum class Candidates { kEveryClass, kBestClass };  // of a query; of equal classes the first is the best

// The host waits for the device once per picture.
Predictions find_predictions(const Output& output, const InferenceConfig& config,
                             Candidates candidates = Candidates::kEveryClass);

}  // namespace tessera::fqdet
