// tessera bench: images per second of a model, as the papers measure it.
#include <omp.h>

#include <memory>

#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/model_report.h"
#include "cli/output.h"
#include "train/named_config.h"
#include "train/progress.h"

namespace tessera {

namespace {

struct BenchCommand {
  std::string model, size, json, device = "cpu";
  double seconds = 10;
  int threads = 0;
  nn::InferenceOptions inference;

  void run() const {
    const std::filesystem::path file = find_config(model);
    check_outputs({json}, {file});
    const Config config = read_config(file);
    if (threads > 0) omp_set_num_threads(threads);
    const std::unique_ptr<Segmenter> network = make_model(config.model, config.training.seed);
    network->to(chosen_device(device));
    nn::fuse_for_inference(*network, inference);
    const Batch batch = measured_batch(config, size.empty() ? std::nullopt : std::optional(parse_size(size)));
    Progress progress("bench", 0, 100);
    progress.update(0, "warming up");
    const Speed speed = measure_speed(*network, batch, seconds, [&](double share) {
      progress.update(std::min<i64>(100, static_cast<i64>(share * 100)));
    });
    progress.clear();
    fmt::print("{}: one image of {} x {} pixels, {} threads\n{}", file.string(), batch.padded.height,
               batch.padded.width, omp_get_max_threads(), speed_table(speed));
    if (json.empty()) return;
    nlohmann::ordered_json result = {
        {"model", model}, {"input", {batch.padded.height, batch.padded.width}}, {"threads", omp_get_max_threads()}};
    result.update(speed_json(speed));
    write_output(json, result.dump(1) + "\n");
  }
};

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* bench =
      app.add_subcommand("bench", "Tells how many images per second a model takes, and which part how long");
  const auto command = std::make_shared<BenchCommand>();
  bench->add_option("--model", command->model, "configuration: a file, or a name under configs/ (r50_giam)")
      ->required();
  bench->add_option("--size", command->size,
                    "HxW of the network's input; without it a picture of 480 x 640, resized as the configuration says");
  bench->add_option("--seconds", command->seconds, "measure for at least so long")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  bench->add_option("--threads", command->threads, "threads to use; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  add_inference(*bench, command->inference);
  bench->add_option("--json", command->json, "file for the figures, as JSON");
  add_device(*bench, command->device);
  add_arithmetic(*bench);
  bench->callback([command] { command->run(); });
}

}  // namespace tessera
