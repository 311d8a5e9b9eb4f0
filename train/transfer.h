// The weights that a run begins with.
//
//   parts     all that fits by name and shape: a backbone, or some other network's parts
//   network   the same network, trained for other classes or for inputs of another size. Its parts that depend on these
//             (Segmenter::dependent_parts) begin anew where a tensor of them has another shape; everything else must
//             fit
//   rows      the same, and of those parts that have a row per class the rows of classes that both have, by name, are
//             copied, with those that belong to no class. A class that the file does not have takes after one that is
//             like it: a rider after a person
#pragma once

#include <string>
#include <vector>

#include "models/segmenter.h"
#include "train/weights.h"

namespace tessera {

// What is begun with.
struct TransferTarget {
  std::vector<DependentPart> dependent = {};
  std::vector<std::string> classes = {};
};

struct InitialWeights {
  LoadedWeights loaded;
  // "iam.7.* begins anew (iam.7.conv.weight: file [..], model [..])", "iam.9.*: rows of person, rider (person's), ..
  // copied; anew: .."
  std::vector<std::string> lines = {};
};

// Loads config.init_weights, a file or the folder of a run (find_checkpoint()), as config.init_transfer says. parts:
// what is missing, left over or of another shape is told in the report. The others: that is an error, apart from what
// begins anew; rows need one of our checkpoints, which names its classes. A file of which nothing fits is an error.
InitialWeights load_initial_weights(nn::Module& model, const TrainingConfig& config, const TransferTarget& target = {});

}  // namespace tessera
