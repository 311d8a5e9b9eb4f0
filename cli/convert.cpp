// tessera convert: weights of other tools into ours. tessera export: the way back, or a checkpoint for use alone.
#include <fmt/core.h>

#include <memory>

#include "cli/commands.h"
#include "cli/model_report.h"
#include "cli/output.h"
#include "train/loaded_model.h"
#include "train/resume.h"
#include "train/weights.h"

namespace tessera {

namespace {

struct ConvertCommand {
  std::string in, out, config, annotations;
  std::vector<std::string> overrides;

  void run() const {
    const std::filesystem::path path = find_checkpoint(in);
    check_outputs({out}, {path, config, annotations});
    const WeightsFile file = read_weights_file(path);
    TESSERA_CHECK(!is_checkpoint(file), "{}: is a checkpoint of tessera already; tessera export is the way back",
                  file.path.string());
    config.empty() ? copy(file) : fit(file);
  }

 private:
  // The same tensors in the other format.
  void copy(const WeightsFile& file) const {
    const std::vector<NamedTensor> tensors = file.state_dict();
    save_safetensors(out, tensors, {{"format", "pt"}});
    for (const NamedTensor& entry : tensors)
      fmt::print("{:<60} {:<5} {}\n", entry.name, name_of(entry.tensor.dtype()), entry.tensor.shape());
    fmt::print("{} tensors in {}, names and layout as they were\n", tensors.size(), out);
  }

  // A checkpoint of the configured model.
  void fit(const WeightsFile& file) const {
    const LoadedModel loaded = untrained_model(overrides, config, annotations);
    const LoadedWeights weights = load_weights(*loaded.model, file, nn::Strictness::kMatching);
    fmt::print("{}", weights.table(*loaded.model, file));
    const size_t wrong = weights.report.missing.size() + weights.report.mismatched.size();
    TESSERA_CHECK(wrong == 0, "{}: does not fit the model of {}: {}; {} was not written", in, config,
                  weights.report.str(), out);
    save_checkpoint(out, loaded.info, *loaded.model, nullptr, nullptr);
    fmt::print("checkpoint in {}\n", out);
  }
};

struct ExportCommand {
  std::string checkpoint, config, out;
  bool slim = false;

  void run() const {
    const std::filesystem::path file = find_checkpoint(checkpoint);
    check_outputs({out}, {file, config});
    slim ? write_slim(Checkpoint::open(file)) : write_reference(file);
  }

 private:
  void write_reference(const std::filesystem::path& file) const {
    const LoadedModel loaded = load(file, {}, config);
    const std::vector<NamedTensor> tensors = reference_tensors(*loaded.model);
    save_safetensors(out, tensors, {{"format", "pt"}});
    fmt::print("{} tensors in {}\n", tensors.size(), out);
  }

  // What the log tells of the checkpoint comes along: the log stays behind.
  void write_slim(const Checkpoint& from) const {
    const LoadedModel loaded = load(from.path());
    save_checkpoint(out, info_with_evaluation(from, from.path().parent_path()), *loaded.model, nullptr, nullptr);
    const auto megabytes_of = [](const auto& path) { return megabytes(std::filesystem::file_size(path)); };
    fmt::print("checkpoint in {}: {} of {}\n", out, megabytes_of(out), megabytes_of(from.path()));
  }
};

}  // namespace

void add_convert(CLI::App& app) {
  CLI::App* convert = app.add_subcommand("convert", "Makes a checkpoint of weights from PyTorch or detectron2");
  const auto command = std::make_shared<ConvertCommand>();
  convert->add_option("IN", command->in, "file of weights: .pth, .pt, .pkl or .safetensors")->required();
  convert->add_option("OUT", command->out, "safetensors file to write")->required();
  CLI::Option* config = convert->add_option(
      "--config", command->config, "the model that the weights are for; without it the tensors are copied as they are");
  convert->add_option("--set", command->overrides, "option to change: section.key=value")
      ->allow_extra_args(false)
      ->needs(config);
  convert->add_option("--annotations", command->annotations, "COCO annotation file whose categories are the classes")
      ->needs(config);
  convert->callback([command] { command->run(); });
}

void add_export(CLI::App& app) {
  CLI::App* command = app.add_subcommand("export", "Writes a model's weights for PyTorch, or to be passed on");
  const auto options = std::make_shared<ExportCommand>();
  command->add_option("--checkpoint", options->checkpoint, "checkpoint file, or the folder of a run")->required();
  CLI::Option* config = command->add_option("--config", options->config, "configuration in place of the stored one");
  command
      ->add_flag("--slim", options->slim,
                 "a checkpoint again, of weights (averaged ones, where the run kept them), configuration and classes, "
                 "without the optimiser's state: a third of the size or less, for use alone")
      ->excludes(config);
  command->add_option("OUT", options->out, "safetensors file to write")->required();
  command->callback([options] { options->run(); });
}

}  // namespace tessera
