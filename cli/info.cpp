// tessera info: this build and machine, the table operator x device, the numbers of a model.
#include <fmt/ranges.h>
#include <omp.h>

#include <algorithm>
#include <fstream>
#include <memory>

#include "cli/commands.h"
#include "cli/info_model.h"
#include "ops/cpu/simd/simd_table.h"
#include "ops/kernel_table.h"

namespace tessera {

namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "Clang " __clang_version__;
#else
constexpr const char* kCompiler = "GCC " __VERSION__;
#endif

struct InfoOptions {
  bool ops = false;
  ModelInfoOptions model;
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

// "cpu 20.1 GiB free", "cuda: no GPU found".
std::string describe(DeviceKind kind) {
  const DeviceCount present = device_runtime(kind).count();
  if (present.count == 0) return fmt::format("{}: {}", name_of(kind), present.reason);
  std::vector<std::string> devices;
  for (int index = 0; index < present.count; ++index) {
    const Device device{kind, index};
    devices.push_back(
        fmt::format("{} {:.1f} GiB free", device, static_cast<double>(memory_report(device).free) / (1 << 30)));
  }
  return fmt::format("{}", fmt::join(devices, ", "));
}

void print_machine() {
  fmt::print("tessera {}, built with {}\n", TESSERA_VERSION, kCompiler);
  fmt::print("processor  {}, SIMD level {}, {} threads\n", processor(), name_of(simd_level()), omp_get_max_threads());
  const char* heading = "devices   ";
  for (const DeviceKind kind : device_kinds()) {
    fmt::print("{} {}\n", heading, describe(kind));
    heading = "          ";
  }
  fmt::print("operators  {} (tessera info --ops)\n", KernelTableBase::all().size());
}

void print_ops() {
  const std::vector<DeviceKind> kinds = device_kinds();
  fmt::print("{:<40}", "operator");
  for (const DeviceKind kind : kinds) fmt::print(" {:<13}", name_of(kind));
  for (const KernelTableBase* table : KernelTableBase::all()) {
    fmt::print("\n{:<40}", table->name());
    for (const DeviceKind kind : kinds) fmt::print(" {:<13}", table->supports(kind) ? "yes" : "-");
  }
  fmt::print("\n");
}

void info(const InfoOptions& options) {
  if (!options.ops && options.model.model.empty()) print_machine();
  if (options.ops) print_ops();
  if (!options.model.model.empty()) print_model(options.model);
}

}  // namespace

void add_info(CLI::App& app) {
  auto options = std::make_shared<InfoOptions>();
  ModelInfoOptions& model = options->model;
  CLI::App* command = app.add_subcommand("info", "Tells about this build and machine, the operators, or a model");
  command->add_flag("--ops", options->ops, "the table operator x device");
  CLI::Option* name = command->add_option("--model", model.model,
                                          "configuration: a file, or a name under configs/ (r50_giam); tells modules, "
                                          "parameters, FLOPs, memory and time");
  command->add_option("--size", model.size, "HxW of the network's input")->capture_default_str()->needs(name);
  command->add_option("--depth", model.depth, "levels of modules to list")
      ->capture_default_str()
      ->needs(name)
      ->check(CLI::Range(0, 100));
  command->add_option("--json", model.json, "file for the figures, as JSON; lists all modules")->needs(name);
  command->callback([options] { info(*options); });
}

}  // namespace tessera
