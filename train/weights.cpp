#include "train/weights.h"

#include <algorithm>
#include <set>

namespace tessera {

namespace {

// The tensors of one of our checkpoints under the model's own names.
std::vector<NamedTensor> model_tensors(const SafeTensors& file) {
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& entry : file.tensors()) {
    if (entry.name.starts_with("ema.")) tensors.push_back({entry.name.substr(4), entry.tensor});
    if (!entry.name.starts_with("model.")) continue;
    const std::string name = entry.name.substr(6);
    if (!file.contains("ema." + name)) tensors.push_back({name, entry.tensor});
  }
  return tensors;
}

// A network that took BGR, made one that takes RGB: the input channels of the loaded convolutions over three channels
// change places.
void exchange_red_and_blue(nn::Module& model, const std::vector<std::string>& loaded) {
  const std::set<std::string> names(loaded.begin(), loaded.end());
  for (nn::StateEntry& entry : nn::state(model)) {
    const bool over_colours = entry.layout == nn::Layout::kConvOIHW && entry.tensor.dim(-1) == 3;
    if (!over_colours || !names.contains(entry.name)) continue;
    float* weights = entry.tensor.data<float>();
    for (i64 i = 0; i < entry.tensor.numel(); i += 3) std::swap(weights[i], weights[i + 2]);
  }
}

}  // namespace

nn::LoadReport load_initial_weights(nn::Module& model, const TrainingConfig& config) {
  const SafeTensors file = SafeTensors::open(config.init_weights);
  const bool ours = file.metadata().contains("tessera");
  const auto prefixed = [&](const std::string& name) { return config.init_prefix + name; };
  const nn::LoadReport report =
      nn::load_state(model, ours ? model_tensors(file) : file.tensors(), nn::Strictness::kMatching, !ours, prefixed);
  TESSERA_CHECK(!report.loaded.empty(),
                "{}: no tensor fits the model (training.init_prefix is \"{}\"); the file has {}", config.init_weights,
                config.init_prefix, file.tensors().empty() ? "no tensors" : file.tensors().front().name + ", ...");
  if (config.init_bgr) exchange_red_and_blue(model, report.loaded);
  return report;
}

}  // namespace tessera
