#include "cli/info_checkpoint.h"

#include <fmt/ranges.h>

#include "cli/model_report.h"
#include "cli/text.h"
#include "train/loaded_model.h"
#include "train/log.h"
#include "train/resume.h"

namespace tessera {

namespace {

constexpr size_t kColumn = 12;

void print_line(const std::string& name, const std::string& text) {
  fmt::print("{}\n", wrapped(fmt::format("{:<{}}{}", name, kColumn, text), terminal_width(), kColumn));
}

// "sparseinst, backbone.kind = "resnet50", ..": the family, and the kinds of its parts.
std::string kinds(Config config) {
  std::string text = config.model.name;
  for (const Option& option : options_of(config))
    if (option.name.starts_with("model.") && (option.key() == "kind" || option.key() == "task"))
      text += fmt::format(", {} = {}", option.name.substr(6), option.get().toml());
  return text;
}

std::string contents(const Checkpoint& checkpoint, const Config& config) {
  std::string text = "weights";
  if (checkpoint.has_averages())
    text += ", moving averages of them";
  else if (config.training.ema_decay > 0)
    text = "moving averages of the weights";
  return text + (checkpoint.has_optimizer() ? ", optimiser state" : ", no optimiser state: for use, not to be resumed");
}

std::string figures(const Scores& scores) {
  std::string text;
  for (const auto& [task, values] : scores) {
    text += (text.empty() ? "" : "; ") + task;
    for (const auto& [name, value] : values) text += fmt::format(" {} {:.4f}", name, value);
  }
  return text;
}

}  // namespace

void print_checkpoint(const std::filesystem::path& file_or_folder) {
  const Checkpoint checkpoint = Checkpoint::open(find_checkpoint(file_or_folder));
  const std::filesystem::path folder = checkpoint.path().parent_path();
  const CheckpointInfo info = info_with_evaluation(checkpoint, folder);
  const LoadedModel loaded = load(checkpoint.path());
  const Config& config = loaded.config;
  fmt::print("{}: {}\n", checkpoint.path().string(), megabytes(std::filesystem::file_size(checkpoint.path())));
  print_line("model", kinds(config));
  print_line("parameters", fmt::format("{:.2f} M", static_cast<double>(nn::count_parameters(*loaded.model)) / 1e6));
  print_line("classes", fmt::format("{}: {}", info.classes.size(), fmt::join(info.classes, ", ")));
  print_line("holds", contents(checkpoint, config));
  if (!config.data.train_annotations.empty()) print_line("data", config.data.train_annotations);
  if (info.step == 0) return;  // converted from another tool's file
  print_line("run",
             fmt::format("step {} of {}, seed {}, on {}", info.step, config.training.steps, info.seed, info.device));
  const Scores scores = logged_evaluation(folder, info.step);
  if (!scores.empty()) print_line("evaluated", figures(scores));
  if (info.evaluated > 0)
    print_line("best", fmt::format("{} {:.4f} of the evaluations until step {}", config.evaluation.metric, info.best,
                                   info.evaluated));
}

}  // namespace tessera
