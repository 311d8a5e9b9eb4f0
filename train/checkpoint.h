// Checkpoints: everything a run needs to go on, or a model to be used, in one safetensors file.
//
// Tensors: "model.<name>" the weights, "ema.<name>" their moving averages, "optimizer.<name>" the optimiser's moments.
// A slim one, for use alone (tessera export --slim), has its averages as weights, and nothing else.
// Metadata: "tessera" the format's version, and the fields of CheckpointInfo. Files are complete or absent: a save that
// fails (a full disk, a crash) leaves the previous checkpoint whole. A checkpoint precedes the evaluation of its step:
// whether there was one, the log knows.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "nn/module.h"
#include "train/ema.h"
#include "train/optimizer.h"

namespace tessera {

struct CheckpointInfo {
  i64 step = 0;             // updates done
  i64 loader_position = 0;  // batches taken
  u64 seed = 0;
  i64 evaluated = 0;           // the step of the last evaluation before this checkpoint
  double best = -1;            // the best figure of merit until then
  i64 no_better = 0;           // evaluations in a row until then that did not raise it
  std::string device = "cpu";  // where the run computes
  std::string config = {};     // the complete configuration as TOML
  std::vector<std::string> classes = {};
  std::vector<i64> category_ids = {};  // of each class, ascending
};

// Throws, and leaves what is there, when a tensor has a value that is not finite.
void save_checkpoint(const std::filesystem::path& path, const CheckpointInfo& info, nn::Module& module,
                     const Optimizer* optimizer, const Ema* ema);

class Checkpoint {
 public:
  // Opens and checks the metadata; a file that is no checkpoint of ours is an error.
  static Checkpoint open(const std::filesystem::path& path);

  const CheckpointInfo& info() const { return info_; }
  const std::filesystem::path& path() const { return file_.path(); }
  bool has_averages() const;
  bool has_optimizer() const;  // else nothing can go on from it

  // Everything, for going on. Missing, unexpected and mis-shaped tensors are one error that lists them all.
  void restore(nn::Module& module, Optimizer& optimizer, Ema* ema) const;
  // The weights alone, for using the model: the moving averages where there are any.
  void restore_weights(nn::Module& module) const;

 private:
  SafeTensors file_;
  CheckpointInfo info_;
};

std::filesystem::path checkpoint_path(const std::filesystem::path& folder,
                                      i64 step);                       // checkpoint-00001000.safetensors
std::filesystem::path best_path(const std::filesystem::path& folder);  // best.safetensors

// The checkpoints of a run by ascending step, without the best; found by looking into the folder.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& folder);

// Removes all but the last `keep` and leftovers of saves that were cut off. The best is never touched.
void prune_checkpoints(const std::filesystem::path& folder, i64 keep);

// A run that goes on from `step` reaches the steps behind it anew: their checkpoints get ".aside" behind their names.
void set_aside_checkpoints(const std::filesystem::path& folder, i64 step);

// The checkpoint to go on from: the last one that can be opened, or else the best; nothing where there is none at all.
// Why one was passed over is told to `passed_over`. Where there are some and none can be opened, that is an error.
std::optional<Checkpoint> last_checkpoint(const std::filesystem::path& folder,
                                          const std::function<void(const std::string& why)>& passed_over = {});

// A checkpoint file as it is; of a run's folder the best, or else the latest. One that cannot be opened is passed over,
// with a line on standard error.
std::filesystem::path find_checkpoint(const std::filesystem::path& file_or_folder);

}  // namespace tessera
