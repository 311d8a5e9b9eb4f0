#include "cli/info_model.h"

#include "cli/model_report.h"
#include "cli/output.h"
#include "train/named_config.h"
#include "train/progress.h"

namespace tessera {

void print_model(const ModelInfoOptions& options) {
  const std::filesystem::path file = find_config(options.model);
  check_outputs({options.json}, {file});
  const Config config = read_config(file);
  Progress progress("measure", 0, 100);
  progress.update(0, "building");
  const std::unique_ptr<Segmenter> model = make_model(config.model, config.training.seed);
  const Batch batch = measured_batch(config, parse_size(options.size));
  progress.update(10, "counting");
  const std::vector<nn::ModuleRun> modules = measure_modules(*model, batch);
  progress.update(20, "memory");
  const Memory memory = measure_memory(*model, batch);
  nn::fuse_for_inference(*model);
  const Speed speed = measure_speed(*model, batch, 0, [&](double share) {
    progress.update(40 + static_cast<i64>(60 * std::min(share, 1.0)), "time");
  });
  progress.clear();

  const nn::ModuleRun& whole = modules.front();
  const double macs = static_cast<double>(whole.work.multiply_adds);
  fmt::print("{}: one image of {} x {} pixels\n\n{}\n", file.string(), batch.padded.height, batch.padded.width,
             module_table(modules, options.depth));
  fmt::print("parameters  {} ({:.2f} M), {} trainable\n", whole.parameters, static_cast<double>(whole.parameters) / 1e6,
             whole.trainable);
  fmt::print("FLOPs       {:.4f} G as the papers count, {:.4f} G with two per multiply-add (docs/numbers.md)\n",
             giga(static_cast<double>(whole.work.published)), giga(2 * macs));
  fmt::print("memory      {} in a forward pass, {} kept for the backward pass in training\n\n",
             megabytes(memory.forward), megabytes(memory.tape));
  fmt::print("{}", speed_table(speed));
  if (options.json.empty()) return;
  const nlohmann::ordered_json result = {{"model", options.model},
                                         {"input", {batch.padded.height, batch.padded.width}},
                                         {"parameters", {{"total", whole.parameters}, {"trainable", whole.trainable}}},
                                         {"flops", whole.work.published},
                                         {"multiply_adds", whole.work.multiply_adds},
                                         {"memory", {{"forward_bytes", memory.forward}, {"tape_bytes", memory.tape}}},
                                         {"speed", speed_json(speed)},
                                         {"modules", module_json(modules)}};
  write_output(options.json, result.dump(1) + "\n");
}

}  // namespace tessera
