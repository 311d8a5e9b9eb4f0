// tessera info: this build and machine, the table operator x device, the numbers of a model, what a checkpoint is.
#include <fmt/ranges.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>

#include "cli/commands.h"
#include "cli/info_checkpoint.h"
#include "cli/info_model.h"
#include "data/video.h"
#include "ops/cpu/simd/simd_table.h"
#include "ops/kernel_table.h"
#include "ops/tuned_choices.h"
#include "tensor/nearest_name.h"
#include "train/communicator.h"

namespace tessera {

namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "Clang " __clang_version__;
#else
constexpr const char* kCompiler = "GCC " __VERSION__;
#endif

struct InfoOptions {
  bool ops = false;
  std::vector<std::string> operators;  // of the table; empty: all
  ModelInfoOptions model;
  std::string checkpoint;
};

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

// The kinds of device that any operator has a kernel for.
std::vector<DeviceKind> device_kinds() {
  std::vector<DeviceKind> kinds;
  for (int i = 0; i < kDeviceKinds; ++i) {
    const DeviceKind kind = static_cast<DeviceKind>(i);
    const auto tables = KernelTableBase::all();
    if (std::any_of(tables.begin(), tables.end(), [&](const auto* table) { return table->supports(kind); }))
      kinds.push_back(kind);
  }
  return kinds;
}

// "14.7 GiB free"; a device without a limit of its own says that all bytes there can be are free.
std::string free_memory(Device device) {
  const size_t bytes = memory_report(device).free;
  if (bytes == SIZE_MAX) return "memory not limited";
  return fmt::format("{:.1f} GiB free", static_cast<double>(bytes) / (1 << 30));
}

// "cpu 20.1 GiB free", "cuda: no GPU found".
std::string describe(DeviceKind kind) {
  const DeviceCount present = device_runtime(kind).count();
  if (present.count == 0) return fmt::format("{}: {}", name_of(kind), present.reason);
  std::vector<std::string> devices;
  for (int index = 0; index < present.count; ++index) {
    const Device device{kind, index};
    devices.push_back(fmt::format("{} {}", device, free_memory(device)));
  }
  return fmt::format("{}", fmt::join(devices, ", "));
}

void print_machine() {
  fmt::print("{}\n", version_text());
  fmt::print("processor  {}, {} threads\n", processor(), omp_get_max_threads());
  fmt::print("operators  {} (tessera info --ops)\n", KernelTableBase::all().size());
  fmt::print("video      {}{}\n", has_video() ? "" : "none: ", video_support());
  fmt::print("processes  {}{}\n", has_mpi() ? "" : "one alone: ", mpi_support());
  for (const std::filesystem::path& file : ops::choices_files(ops::cache_folder()))
    fmt::print("tuned      {}\n", file.string());
}

// The tables of these operators, or all of them.
std::vector<const KernelTableBase*> tables_of(const std::vector<std::string>& operators) {
  const std::vector<const KernelTableBase*> all = KernelTableBase::all();
  if (operators.empty()) return all;
  std::vector<std::string> known;
  for (const KernelTableBase* table : all) known.push_back(table->name());
  std::vector<const KernelTableBase*> tables;
  for (const std::string& name : operators) {
    const auto place = std::find(known.begin(), known.end(), name);
    TESSERA_CHECK(place != known.end(), "info: unknown operator {}; did you mean {}?", name, nearest_name(name, known));
    tables.push_back(all[static_cast<size_t>(place - known.begin())]);
  }
  return tables;
}

void print_ops(const std::vector<std::string>& operators) {
  const std::vector<DeviceKind> kinds = device_kinds();
  const std::vector<const KernelTableBase*> tables = tables_of(operators);
  size_t width = std::string("operator").size();
  for (const KernelTableBase* table : tables) width = std::max(width, std::string(table->name()).size());
  const auto row = [&](const char* name, auto&& cell) {
    std::string line = fmt::format("{:<{}}", name, width);
    for (const DeviceKind kind : kinds) line += fmt::format("  {:<{}}", cell(kind), std::string(name_of(kind)).size());
    fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
  };
  row("operator", [](DeviceKind kind) { return name_of(kind); });
  for (const KernelTableBase* table : tables)
    row(table->name(), [&](DeviceKind kind) { return table->supports(kind) ? "yes" : "-"; });
}

void info(const InfoOptions& options) {
  if (!options.ops && options.model.model.empty() && options.checkpoint.empty()) print_machine();
  if (options.ops) print_ops(options.operators);
  if (!options.model.model.empty()) print_model(options.model);
  if (!options.checkpoint.empty()) print_checkpoint(options.checkpoint);
}

}  // namespace

std::string version_text() {
  const std::vector<DeviceKind> kinds = device_kinds();
  const auto has = [&](DeviceKind kind) { return std::find(kinds.begin(), kinds.end(), kind) != kinds.end(); };
  std::string text = fmt::format("tessera {}\nbuild      {}, {}, SIMD level {}, {}", TESSERA_VERSION,
                                 TESSERA_BUILD_TYPE, kCompiler, name_of(simd_level()),
                                 has(DeviceKind::kCuda)           ? "with CUDA"
                                 : has(DeviceKind::kCudaEmulated) ? "with emulated CUDA"
                                                                  : "without CUDA");
  const char* heading = "devices";
  for (const DeviceKind kind : kinds) {
    text += fmt::format("\n{:<10} {}", heading, describe(kind));
    heading = "";
  }
  return text;
}

void add_info(CLI::App& app) {
  auto options = std::make_shared<InfoOptions>();
  ModelInfoOptions& model = options->model;
  CLI::App* command =
      app.add_subcommand("info", "Tells about this build and machine, the operators, a model or a checkpoint");
  CLI::Option* ops =
      command
          ->add_option("--ops", options->operators, "the table operator x device, of all operators or of those named")
          ->expected(0, CLI::detail::expected_max_vector_size)
          ->type_name("NAME");
  CLI::Option* name = command->add_option("--model", model.model,
                                          "configuration: a file, or a name under configs/ (r50_giam); tells modules, "
                                          "parameters, FLOPs, memory and time");
  command->add_option("--size", model.size, "HxW of the network's input")->capture_default_str()->needs(name);
  command->add_option("--depth", model.depth, "levels of modules to list")
      ->capture_default_str()
      ->needs(name)
      ->check(CLI::Range(0, 100));
  command->add_option("--json", model.json, "file for the figures, as JSON; lists all modules")->needs(name);
  command->add_option(
      "--checkpoint", options->checkpoint,
      "checkpoint file, or a run's folder (its best, else its latest); tells model, classes, data, what "
      "it holds and how good it is");
  command->callback([options, ops] {
    options->ops = ops->count() > 0;
    std::erase(options->operators, "");  // CLI11's value of an option that stands alone
    info(*options);
  });
}

}  // namespace tessera
