#include "cli/model_options.h"

#include <memory>
#include <optional>

#include "ops/cpu/simd/simd_table.h"
#include "tensor/device_runtime.h"

namespace tessera {

void add_device(CLI::App& command, std::string& name) {
  command.add_option("--device", name, "where to compute: cpu, or cuda (a build with it; cuda:1 is the second GPU)")
      ->type_name("DEVICE")
      ->default_str("cpu");
}

Device chosen_device(const std::string& name, Precision asked, const Communicator& communicator) {
  Device device = Device::parse(name);
  if (communicator.size() > 1 && name.find(':') == std::string::npos)
    if (const int count = device_runtime(device.kind).count().count; count > 0)
      device.index = static_cast<int>(communicator.local_rank()) % count;
  if (asked != Precision::kHighest && device.kind == DeviceKind::kCpu && !has_tiles())
    fmt::print(stderr, "tessera: no bfloat16 tiles (AMX) on this machine: precision is highest\n");
  return device;
}

void add_arithmetic(CLI::App& command) {
  const auto chosen = std::make_shared<Arithmetic>();
  const auto scope = std::make_shared<std::optional<ArithmeticScope>>();
  const auto use_level = [=](const std::string& given) {
    for (const auto& [name, level] : names_of(Precision()))
      if (given == name) chosen->precision = level;
    scope->emplace(*chosen);
  };
  std::vector<std::string> names;
  for (const auto& [name, level] : names_of(Precision())) names.push_back(name);
  command
      .add_option_function<std::string>("--precision", use_level,
                                        "of matrix products and convolutions: highest is that of f32, high and medium "
                                        "are faster on machines with bfloat16 tiles and on GPUs")
      ->check(CLI::IsMember(names))
      ->type_name("LEVEL")
      ->default_str("highest");
  command.add_flag_callback(
      "--no-tune",
      [=] {
        chosen->tune = false;
        scope->emplace(*chosen);
      },
      "convolutions on a GPU by the algorithm that cuDNN recommends, not by the fastest of several, which is found out "
      "once per machine; no difference elsewhere");
}

void add_inference(CLI::App& command, nn::InferenceOptions& options) {
  command.add_flag_callback(
      "--exact", [&options] { options.winograd = false; },
      "convolutions as they are defined, without Winograd's algorithm: slower, a third of the rounding error");
  command
      .add_option_function<std::string>(
          "--dtype",
          [&options](const std::string& name) { options.dtype = name == "bf16" ? DType::kBF16 : DType::kF32; },
          "of activations and of the weights they meet: f32, or bf16 on a GPU, half the bytes; sums, logits and "
          "results are f32 in both")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->type_name("DTYPE")
      ->default_str("f32");
  command.add_flag("--graph", options.graph,
                   "on a GPU: the network's work for an input size that comes again is recorded and launched as one "
                   "unit, the same bits in less time of the host's");
}

void ModelOptions::add(CLI::App& command) {
  command
      .add_option(
          "--checkpoint", checkpoint,
          "checkpoint file, or a run's folder (its best, else its latest); with --config also weights of PyTorch")
      ->required();
  command.add_option("--config", config, "configuration in place of the stored one");
  command.add_option("--set", overrides, "option to change: section.key=value")->allow_extra_args(false);
  add_device(command, device);
  add_arithmetic(command);
}

LoadedModel ModelOptions::load(const std::string& annotations, const Communicator& communicator) const {
  LoadedModel loaded = tessera::load(checkpoint, overrides, config, annotations);
  loaded.model->to(chosen_device(device, precision(), communicator));
  return loaded;
}

}  // namespace tessera
