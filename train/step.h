// One step of training: data, forward, loss, backward, clip, update, average.
#pragma once

#include <optional>

#include "data/loader.h"
#include "models/segmenter.h"
#include "train/buffers.h"
#include "train/config.h"
#include "train/ema.h"
#include "train/log.h"
#include "train/pass.h"

namespace tessera {

// All that a run is at a given moment, beside the weights. What is not in here does not survive a restart.
struct TrainingState {
  i64 step = 0;       // updates done
  i64 batches = 0;    // batches taken from the loader; what they hold follows from this number and the seed
  i64 evaluated = 0;  // the step of the last evaluation
  double best = -1;   // the best figure of merit so far
  i64 no_better = 0;  // evaluations in a row that did not raise it
  Optimizer optimizer;
  std::optional<Ema> ema;
  Passes passes = Passes();
  bool updating = false;  // between two steps: the weights are those of neither
};

// One update from training.accumulate batches, of which each process has a share; pictures: of an epoch. A loss or
// gradient that is not finite is an error that names term, step and images, and leaves weights and state as they were,
// on all processes; the model's buffers only the caller can put back.
StepRecord train_step(Segmenter& model, const Buffers& buffers, const Config& config, double pictures,
                      TrainingState& state, Loader& loader, Communicator& communicator, GradientSums& sums);

}  // namespace tessera
