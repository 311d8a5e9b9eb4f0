// tessera train: a run from a configuration file.
#include <fmt/ranges.h>
#include <omp.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>

#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/options_list.h"
#include "cli/processes.h"
#include "cli/text.h"
#include "data/panoptic.h"
#include "train/compare_ranks.h"
#include "train/evaluate.h"
#include "train/memory.h"
#include "train/preflight.h"
#include "train/resume.h"
#include "train/trainer.h"
#include "train/transfer.h"

namespace tessera {

namespace {

// Which options are given, by name.
using Given = std::function<bool(std::string_view option)>;

// The numbers of classes follow from the data; saying others is an error.
void take_classes(const CocoDataset& data, const Given& given, ModelConfig& model) {
  const i64 classes = std::ssize(data.categories);
  const i64 things = count_things(data);
  TESSERA_CHECK(!given("model.num_classes") || model.num_classes() == classes,
                "train: model.num_classes is {}, but {} has {} categories", model.num_classes(), data.name, classes);
  TESSERA_CHECK(!given("model.panoptic.things") || model.things() == things,
                "train: model.panoptic.things is {}, but of the categories of {} {} are things", model.things(),
                data.name, things);
  model.set_classes(classes, things);
}

std::string millions(i64 count) {
  return fmt::format("{:.2f} M", static_cast<double>(count) / 1e6);
}

// What --dry-run tells without data: every option with its value, the parameters by part.
void describe(Segmenter& model, const Config& config) {
  fmt::print("{}\n", to_toml(config));
  const std::vector<i64> counts = apply_groups(config.optimizer, model);
  for (size_t g = 0; g < counts.size(); ++g)
    fmt::print("optimizer.groups[{}]: {} parameters ({})\n", g, counts[g],
               fmt::join(config.optimizer.groups[g].match, ", "));
  std::map<std::string, i64> parts;
  for (const auto& [name, parameter] : nn::named_parameters(model))
    parts[name.substr(0, name.find('.'))] += parameter->value().numel();
  fmt::print("parameters: {} ({} trained)", millions(nn::count_parameters(model)),
             millions(nn::count_parameters(model, true)));
  for (const auto& [part, count] : parts) fmt::print(", {} {}", part, millions(count));
  fmt::print("\n");
}

// "709722 steps, 59143.5 an epoch, warm-up until step 500, the rate falls at step 532292"
std::string length(const Job& job) {
  const ScheduleConfig& schedule = job.config.schedule;
  std::string text = fmt::format("{} steps, {:.6g} an epoch", job.config.training.steps,
                                 steps_per_epoch(job.config.training, job.data->drawn_per_epoch()));
  if (schedule.warmup_steps > 0) text += fmt::format(", warm-up until step {}", schedule.warmup_steps);
  if (schedule.kind == ScheduleKind::kMultiStep && !schedule.milestones.empty())
    text += fmt::format(", the rate falls at step {}", fmt::join(schedule.milestones, ", "));
  return text;
}

// "2965 images (10 without objects are left out)"
std::string counted_images(const CocoSource& data) {
  const i64 left_out = std::ssize(data.dataset().images) - data.size();
  std::string text = fmt::format("{} images{}", data.size(),
                                 left_out > 0 ? fmt::format(" ({} without objects are left out)", left_out) : "");
  if (data.drawn_per_epoch() > static_cast<double>(data.size()))
    text += fmt::format(", which make {:.6g} an epoch (data.repeat_threshold)", data.drawn_per_epoch());
  return text;
}

// What it tells with data: the first batch.
void describe_data(const Job& job, const CocoSource& data) {
  fmt::print("data: {}, {} classes, {}\n", counted_images(data), job.classes.size(), length(job));
  Loader loader(job.data, loader_config(job.config, true));
  const Batch batch = *loader.next();
  fmt::print("first batch: images {}\n", Shape{batch.size(), batch.padded.height, batch.padded.width, 3});
  for (const Sample& sample : batch.samples)
    fmt::print("  {}: {} of {}x{}, {} objects\n", sample.file.filename().string(), sample.image.shape(),
               sample.original.height, sample.original.width, sample.targets.count());
}

// What a user should know before the first step.
void warn(Segmenter& model, const Config& config, const CocoSource& train, const CocoSource* val,
          const Communicator& communicator) {
  if (!communicator.first()) return;
  std::vector<std::string> lines = warnings(model, config, train, val);
  Config of_process = config;
  of_process.training.batch_size = (config.training.batch_size + communicator.size() - 1) / communicator.size();
  const MemoryEstimate memory = estimate_memory(of_process, train, model.device());
  fmt::print("memory: {}\n", memory.str());
  if (memory.total() > memory.available)
    lines.push_back("memory: " + memory.str() +
                    ": a smaller training.batch_size with a larger training.accumulate takes less");
  print_warnings(lines);
}

// The configuration and the device of a run that goes on: those in its last checkpoint, changed by what is given anew.
// Each change is printed. Nothing where the folder has no checkpoint.
struct Resumed {
  Config config;
  std::string device;
};
std::optional<Resumed> resumed_run(const std::filesystem::path& folder, const std::vector<Setting>& given,
                                   const std::string& device) {
  const std::optional<Checkpoint> last =
      last_checkpoint(folder, [](const std::string& why) { fmt::print(stderr, "tessera: {}\n", why); });
  if (!last) return std::nullopt;
  Resumed resumed{make_config(given, stored_config(*last)), device.empty() ? last->info().device : device};
  for (const OptionChange& change : changes_on_resume(*last, resumed.config)) fmt::print("{}\n", change.str());
  if (resumed.device != last->info().device) fmt::print("--device: {} -> {}\n", last->info().device, resumed.device);
  return resumed;
}

// The data of a run, checked as far as that can be done before the first step.
struct DataSets {
  std::shared_ptr<const CocoSource> train, val;  // val: null without data.val_annotations
};
DataSets open_data(const Given& given, Config& config) {
  DataSets sets;
  sets.train = training_source(config);
  take_classes(sets.train->dataset(), given, config.model);
  if (const std::string& annotations = config.data.val_annotations; !annotations.empty())
    sets.val = inference_source(load_data_set(annotations, "data.val_annotations"), config.data.val_images, config);
  check_data(config, *sets.train, sets.val.get());
  return sets;
}

Evaluator evaluator(const Config& config, const std::vector<i64>& category_ids,
                    const std::shared_ptr<const CocoSource>& val, Communicator& communicator) {
  return [config, category_ids, val, &communicator](Segmenter& model) -> std::optional<Scores> {
    const std::optional<Evaluation> result =
        evaluate(model, category_ids, val->dataset(), val, config, false, communicator);
    if (!result) return std::nullopt;
    Scores scores;
    for (const auto& [metric, score] : result->scores) scores.emplace_back(metric->short_name(), score.figures);
    if (!result->losses.empty()) scores.emplace_back(kValidationLoss, result->losses);
    return scores;
  };
}

// The processes must see the same data. What tells of it: sizes, names and numbers, in order.
std::string digest(const CocoSource& data) {
  const CocoDataset& set = data.dataset();
  std::string text =
      fmt::format("{} images, {} annotations of {}\n", set.images.size(), set.annotations.size(), set.name);
  for (const CocoCategory& category : set.categories) text += fmt::format("{} {}\n", category.id, category.name);
  for (const CocoImage& image : set.images) text += fmt::format("{} {}\n", image.id, image.file_name);
  return text;
}

struct TrainCommand {
  std::string config_file, out, device, listing;
  std::vector<std::string> overrides;
  bool resume = false, overwrite = false, dry_run = false;

  void run(Communicator& communicator) const {
    if (config_file.empty() && !resume) throw CLI::RequiredError("CONFIG");
    if (config_file.empty() && out.empty()) throw CLI::RequiredError("--resume without CONFIG: --out");
    std::vector<Setting> settings;
    if (!config_file.empty()) settings = read_settings(config_file);
    for (const std::string& text : overrides) settings.push_back(parse_override(text));
    Job job;
    job.communicator = &communicator;
    job.resume = resume;
    job.folder = out.empty() ? std::filesystem::path("runs") / std::filesystem::path(config_file).stem()
                             : std::filesystem::path(out);
    const std::optional<Resumed> resumed = resume ? resumed_run(job.folder, settings, device) : std::nullopt;
    TESSERA_CHECK(resumed || !config_file.empty(),
                  "train: {} holds no checkpoint to resume from; begin the run with its CONFIG", job.folder.string());
    job.config = resumed ? resumed->config : make_config(settings);
    Config& config = job.config;
    TESSERA_CHECK(dry_run || resume || overwrite || !holds_run(job.folder),
                  "train: {} holds a run already; --resume continues it, --overwrite begins anew", job.folder.string());

    if (dry_run && !std::filesystem::exists(config.data.train_annotations)) {
      describe(*make_model(config.model, config.training.seed), config);
      fmt::print("data: data.train_annotations {}\n", config.data.train_annotations.empty()
                                                          ? "is not set"
                                                          : "does not exist: " + config.data.train_annotations);
      return;
    }
    const auto given = [&](std::string_view option) {
      return (resumed && option == "model.num_classes") ||
             std::ranges::any_of(settings, [&](const Setting& s) { return s.name == option; });
    };
    const DataSets sets = open_data(given, config);
    check_same(communicator, "build", version_text());
    check_same(communicator, "configuration", to_toml(config));
    check_same(communicator, "set of training data", digest(*sets.train));
    if (sets.val) check_same(communicator, "set of validation data", digest(*sets.val));
    job.data = sets.train;
    resolve_epochs(config, job.data->drawn_per_epoch());
    for (const CocoCategory& category : sets.train->dataset().categories) {
      job.classes.push_back(category.name);
      job.category_ids.push_back(category.id);
    }
    if (sets.val) job.evaluate = evaluator(config, job.category_ids, sets.val, communicator);

    const std::unique_ptr<Segmenter> model = make_model(config.model, config.training.seed);
    if (!resumed && !config.training.init_weights.empty()) {
      const InitialWeights weights = load_initial_weights(
          *model, config.training, {.dependent = model->dependent_parts(), .classes = job.classes});
      fmt::print("{} ({}): {}\n", config.training.init_weights, weights.loaded.names.str(),
                 weights.loaded.report.str());
      for (const std::string& line : weights.lines) fmt::print("{}\n", line);
    }
    const std::string place = resumed ? resumed->device : device.empty() ? "cpu" : device;
    model->to(chosen_device(place, config.training.precision, communicator));
    warn(*model, config, *sets.train, sets.val.get(), communicator);
    if (dry_run) return describe(*model, config), describe_data(job, *sets.train);

    if (communicator.size() > 1)
      fmt::print("{} processes, {} to {}, {} threads each\n", communicator.size(), communicator.name(0),
                 communicator.name(communicator.size() - 1), omp_get_max_threads());
    fmt::print("{}: {} parameters, {}, {} classes, {} images per update, {}\n", job.folder.string(),
               millions(nn::count_parameters(*model)), counted_images(*sets.train), job.classes.size(),
               config.training.batch_size * config.training.accumulate, length(job));
    const auto passed_over = [&] {
      std::string lines;
      if (const i64 dropped = sets.train->too_small(); dropped > 0)
        lines += fmt::format(
            "{} objects were passed over: augmentation left fewer pixels of them than augment.least_pixels\n", dropped);
      // Of the pictures as they are the warnings before the run have told.
      const bool more = config.augment.chain.mosaic_probability > 0 || config.augment.chain.copy_paste_probability > 0;
      if (const auto limit = model->object_limit(); more && limit && sets.train->fullest() > limit->objects)
        lines += fmt::format(
            "augmentation put up to {} objects into a picture, more than the {} of them that the network can learn "
            "({})\n",
            sets.train->fullest(), limit->objects, limit->option);
      if (const std::string rest = model->passed_over(); !rest.empty()) lines += rest + "\n";
      return lines;
    };
    int signal = 0;
    try {
      signal = train(*model, job);
    } catch (...) {
      fmt::print("{}", passed_over());
      throw;
    }
    const std::vector<std::string> by_rank = communicator.gather(passed_over());
    for (size_t rank = 0; rank < by_rank.size(); ++rank)
      if (!by_rank[rank].empty())
        fmt::print("{}{}", by_rank.size() > 1 ? communicator.name(static_cast<i64>(rank)) + ": " : "", by_rank[rank]);
    if (signal != 0) {
      fmt::print("stopped by signal {}; --resume continues\n", signal);
      throw CLI::RuntimeError(128 + signal);
    }
    fmt::print("done: {}\n", find_checkpoint(job.folder).string());
  }
};

}  // namespace

void add_train(CLI::App& app) {
  CLI::App* train = app.add_subcommand("train", "Trains a model as a configuration file says");
  train->footer(
      "Exit codes: 0 done, 1 an error (after saving the steps done), 2 a wrong command line, 128 + number stopped by "
      "SIGINT, SIGTERM, SIGHUP or SIGPIPE after saving.");
  const auto command = std::make_shared<TrainCommand>();
  train->add_option("CONFIG", command->config_file,
                    "TOML file, or a name under configs/ (r50_giam); --dry-run prints every option with its value. Not "
                    "needed with --resume --out DIR");
  train->add_option("--set", command->overrides, "option to change: section.key=value")->allow_extra_args(false);
  train->add_option_function<std::string>(
      "--precision",
      [command](const std::string& level) { command->overrides.push_back("training.precision=" + level); },
      "short for --set training.precision=: highest, high or medium");
  train->add_flag_callback(
      "--mixed-precision", [command] { command->overrides.push_back("training.mixed_precision=true"); },
      "short for --set training.mixed_precision=true: bf16 activations, on CUDA devices");
  train->add_flag_callback(
      "--no-tune", [command] { command->overrides.push_back("training.tune=false"); },
      "short for --set training.tune=false: convolutions on CUDA devices by the algorithm that cuDNN recommends");
  add_device(*train, command->device);
  train->add_option("--out", command->out, "folder for log and checkpoints (default: runs/<name of the file>)");
  CLI::Option* resume =
      train->add_flag("--resume", command->resume,
                      "continue from the last checkpoint in the folder, with the configuration that it holds; CONFIG, "
                      "--set and --device change what is given anew");
  train->add_flag("--overwrite", command->overwrite, "put a new run in the place of the folder's log and checkpoints")
      ->excludes(resume);
  train->add_flag("--dry-run", command->dry_run,
                  "print configuration, parameters and, where there is data, the first batch and what is wrong; train "
                  "nothing");
  train
      ->add_flag("--help-options{text}", command->listing,
                 "print every option of a configuration with default and meaning, and exit; =markdown: as a table")
      ->each([](  // before a missing CONFIG is complained about
                 const std::string& form) {
        if (form != "text" && form != "markdown")
          throw CLI::ValidationError("--help-options", form + ": text or markdown");
        throw CLI::CallForVersion(form == "text" ? options_text(terminal_width()) : options_markdown(), 0);
      });
  train->callback([command] { on_processes([&](Communicator& communicator) { command->run(communicator); }); });
}

}  // namespace tessera
