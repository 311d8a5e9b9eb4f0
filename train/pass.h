// The forward and backward pass of one batch: its losses, and gradients in the parameters.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "models/replay.h"
#include "models/segmenter.h"
#include "nn/working_weights.h"
#include "train/gradient_sums.h"
#include "train/log.h"

namespace tessera {

// Adds to the figure of this name, which comes last where it is new.
void add_to(Figures& figures, const std::string& name, double value);

// What one batch gave, on the device: the host reads marks, terms and total, in this order, when the whole step has
// been launched.
struct BatchLosses {
  Losses losses;
  Tensor total;                 // of the terms as they count beside the first
  std::vector<double> weights;  // by LossTerm::normaliser

  void watch(std::vector<Tensor>& numbers) const;
  // Throws what is not finite, or else adds the losses to the record. Moves on behind the batch's numbers.
  void read(const double*& number, const Batch& batch, StepRecord& record) const;
};

// The passes of a run.
class Passes {
 public:
  // replayed: passes of sizes that come again are launched as a graph, where the model has them in two parts
  // (Segmenter::prepare). A graph keeps the memory of a pass, and two are kept.
  explicit Passes(bool replayed = false) : replayed_(replayed) {}

  // Gradients are added to those that are there; with graphs there may be none. weights: of the batch's losses in the
  // update, by LossTerm::normaliser. sums: of the last batch of an update, whose gradients travel while they are
  // computed; its finish() is the caller's.
  BatchLosses operator()(Segmenter& model, const Batch& batch, const std::vector<double>& weights,
                         const StepContext& context, GradientSums* sums = nullptr);

 private:
  struct Recorded {
    BatchLosses result = {};
    std::vector<std::pair<Var*, Tensor>> gradients = {};
    std::shared_ptr<nn::WorkingWeights> working_weights = {};  // the graph reads and writes them
  };
  BatchLosses replay(Segmenter& model, const Segmenter::Prepared& prepared, const std::vector<double>& weights);

  bool replayed_;
  nn::WorkingWeights working_weights_;
  Replay<Recorded> graphs_{2};
};

}  // namespace tessera
