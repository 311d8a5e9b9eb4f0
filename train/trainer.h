// The training loop: data, forward, loss, backward, clip, update, average, log, evaluate, save. No hooks.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "models/segmenter.h"
#include "train/checkpoint.h"
#include "train/communicator.h"
#include "train/config.h"
#include "train/log.h"

namespace tessera {

// Evaluates the model as it is (evaluation mode, no gradients); nothing when a signal stopped it. Of several processes
// the first one alone needs the scores.
using Evaluator = std::function<std::optional<Scores>(Segmenter& model)>;

struct Job {
  Config config;
  std::filesystem::path folder;  // for log and checkpoints
  std::shared_ptr<const SampleSource> data;
  std::vector<std::string> classes;  // names and category ids by class index, for the checkpoints
  std::vector<i64> category_ids;
  Evaluator evaluate;  // empty: no evaluation
  bool resume = false;
  bool quiet = false;  // print nothing
  // The processes of the run, each of which calls train() with the same job: they share the batches and the pictures of
  // an evaluation, and the first alone writes and prints.
  Communicator* communicator = &single_process();
};

// Trains `model` from its present weights, or with job.resume from the last checkpoint in the folder, exactly as if
// the run had not been interrupted; where there is no checkpoint yet, from the beginning. What may differ from the
// configuration of the checkpoint: train/resume.h.
//
// The folder is changed when the first step of the call is done: config.toml is written, and a run that begins anew
// takes the place of the one before.
//
// A checkpoint is written every training.checkpoint_every steps, before each evaluation, and at the end. An error saves
// the last finished step, if that is not on the disk yet, and its message tells where it lies. A loss or gradient that
// is not finite is an error before the update, naming term, step and images: a resumed run tries the same step again.
// The signals of train/signals.h, to whichever process, let the present step finish and save. Returns the signal's
// number, 0 when all steps are done.
int train(Segmenter& model, const Job& job);

// Does the folder hold a run already: a log with lines, or checkpoints?
bool holds_run(const std::filesystem::path& folder);
// Removes its log, event files and checkpoints; other files stay.
void remove_run(const std::filesystem::path& folder);

}  // namespace tessera
