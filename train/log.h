// The diary of a run: log.jsonl, one JSON object per line, and the same on the terminal.
//
//   {"event":"step","step":1,"loss":4.25,"losses":{"loss_ce":2.5,"loss_dice":1.75},"lr":5e-05,"grad_norm":3.5,
//    "ms":812.4,"images_per_s":19.7,"memory_mb":913.2}
//   {"event":"eval","step":500,"segm":{"AP":0.31,..},"bbox":{..},"seconds":12.3}
//
// With several processes a step also has "waiting_ms":[12.1,80.3], for each of them the time in which it waited for the
// others, and "rank_images_per_s":[55.1,69.8], what it does in the rest: the slow one waits least.
// Numbers are written with all their digits: two runs with the same seed have equal lines but for ms, images_per_s,
// memory_mb, waiting_ms, rank_images_per_s and seconds. A step's number counts the updates done, from 1.
//
// With Options::tensorboard the figures are also written as an event file (train/event_file.h): train/loss, train/lr,
// train/grad_norm, train/images_per_s and train/<term> of every step, <task>/<figure> of every evaluation.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/append_file.h"
#include "train/event_file.h"
#include "train/progress.h"

namespace tessera {

using Figures = std::vector<std::pair<std::string, double>>;
// Figures per task, the figure of merit first: {{"segm", {{"AP", 0.31}, ..}}, {"bbox", ..}}.
using Scores = std::vector<std::pair<std::string, Figures>>;

// The first figure of this metric (eval/score.h), by which checkpoints are compared; nothing: there is none of it.
std::optional<double> merit(const Scores& scores, const std::string& metric);

struct StepRecord {
  i64 step = 0;
  double loss = 0;  // the sum of the terms
  Figures losses;
  double lr = 0, grad_norm = 0;
  double milliseconds = 0, images_per_second = 0, memory_mb = 0;

  struct Rank {
    double waiting_milliseconds, images_per_second;
  };
  std::vector<Rank> ranks = {};  // of several processes
};

class Log {
 public:
  struct Options {
    i64 steps = 0;       // of the whole run
    i64 every = 20;      // one printed line per so many steps
    bool quiet = false;  // print nothing, write the files only
    bool tensorboard = false;
  };

  // Continues folder/log.jsonl after `step`: lines of later steps (of a run that went on past its last checkpoint) and
  // a line cut off by a crash are removed. With step 0 the log starts empty. The file is touched with the first line
  // only: a call that fails before it leaves the log as it was.
  Log(const std::filesystem::path& folder, i64 step, const Options& options);

  // A line that cannot be written is an error, and is written with the next one, or by sync().
  void step(const StepRecord& record);
  void evaluation(i64 step, const Scores& scores, double seconds);
  void say(const std::string& text);  // one line on the terminal, above the progress line
  void sync();                        // what was written is on the disk when this returns

 private:
  void flush();

  Options options_;
  AppendFile file_;
  std::optional<EventFile> events_;
  Progress progress_;
  i64 printed_ = 0;  // lines under the last header
};

// What a line tells. A number that is missing, or was not finite, is NaN.
struct LogLine {
  i64 step = 0;
  Figures figures = {};  // of a step: loss, lr, grad_norm, images_per_s and the terms of the loss
  Scores scores = {};    // of an evaluation
};
struct LogContents {
  std::vector<LogLine> lines;
  i64 passed_over = 0;  // lines that are cut off, or none that this program knows
};
LogContents read_log(const std::filesystem::path& folder);

// The scores of the evaluation at `step` that the folder's log has; empty: none.
Scores logged_evaluation(const std::filesystem::path& folder, i64 step);

}  // namespace tessera
