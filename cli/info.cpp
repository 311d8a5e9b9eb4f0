// tessera info: this build and machine, the table operator x device, the parts of a model.
#include <omp.h>

#include <fstream>
#include <map>
#include <memory>

#include "cli/commands.h"
#include "ops/cpu/simd/simd_table.h"
#include "ops/kernel_table.h"
#include "train/config.h"

namespace tessera {

namespace {

struct InfoOptions {
  bool ops = false;
  std::string model;
};

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

void print_machine() {
  const MemoryReport memory = memory_report();
  fmt::print("tessera {}, built with GCC {}\n", TESSERA_VERSION, __VERSION__);
  fmt::print("processor  {}, SIMD level {}, {} threads\n", processor(), name_of(simd_level()), omp_get_max_threads());
  fmt::print("memory     {:.1f} GiB free\n", static_cast<double>(memory.free) / (1 << 30));
  fmt::print("devices    cpu\n");
  fmt::print("operators  {} (tessera info --ops)\n", KernelTableBase::all().size());
}

void print_ops() {
  fmt::print("{:<40} {}\n", "operator", "cpu");
  for (const KernelTableBase* table : KernelTableBase::all())
    fmt::print("{:<40} {}\n", table->name(), table->supports(DeviceKind::kCpu) ? "yes" : "-");
}

// Parameters of the model and of its parts, two levels deep.
void print_model(const std::string& path) {
  const Config config = read_config(path);
  const std::unique_ptr<Segmenter> model = make_model(config.model, config.training.seed);
  std::vector<std::string> order;
  std::map<std::string, i64> parts;
  for (const auto& [name, parameter] : nn::named_parameters(*model)) {
    const size_t first = name.find('.'), second = first == std::string::npos ? first : name.find('.', first + 1);
    const std::string part = name.substr(0, second);
    if (!parts.contains(part)) order.push_back(part);
    parts[part] += parameter->value().numel();
  }
  for (const std::string& part : order) fmt::print("{:<32} {:>12}\n", part, parts[part]);
  fmt::print("{:<32} {:>12}\n{:<32} {:>12}\n", "parameters", nn::count_parameters(*model), "trainable",
             nn::count_parameters(*model, true));
}

void info(const InfoOptions& options) {
  if (!options.ops && options.model.empty()) print_machine();
  if (options.ops) print_ops();
  if (!options.model.empty()) print_model(options.model);
}

}  // namespace

void add_info(CLI::App& app) {
  auto options = std::make_shared<InfoOptions>();
  CLI::App* command = app.add_subcommand("info", "Tells about this build and machine, the operators, or a model");
  command->add_flag("--ops", options->ops, "the table operator x device");
  command->add_option("--model", options->model, "a configuration file: the parameters of its model by part");
  command->callback([options] { info(*options); });
}

}  // namespace tessera
