#include "train/weights.h"

#include <algorithm>
#include <set>

#include "train/checkpoint.h"

namespace tessera {

namespace {

// The tensors of one of our checkpoints under the model's own names.
std::vector<NamedTensor> model_tensors(const WeightsFile& file) {
  std::set<std::string> averaged;
  for (const NamedTensor& entry : file.tensors)
    if (entry.name.starts_with("ema.")) averaged.insert(entry.name.substr(4));
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& entry : file.tensors) {
    if (entry.name.starts_with("ema.")) tensors.push_back({entry.name.substr(4), entry.tensor});
    if (!entry.name.starts_with("model.")) continue;
    const std::string name = entry.name.substr(6);
    if (!averaged.contains(name)) tensors.push_back({name, entry.tensor});
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

Shape shape_in_reference(const nn::StateEntry& entry) {
  const Shape& s = entry.tensor.shape();
  return entry.layout == nn::Layout::kSame ? s : Shape{s[0], s[3], s[1], s[2]};
}

}  // namespace

bool is_checkpoint(const WeightsFile& file) {
  return file.metadata.contains("tessera");
}

std::string LoadedWeights::table(nn::Module& model, const WeightsFile& file) const {
  std::map<std::string, Shape> shapes;
  for (const NamedTensor& entry : file.tensors) shapes.emplace(entry.name, entry.tensor.shape());
  const std::set<std::string> loaded(report.loaded.begin(), report.loaded.end());
  const auto line = [](const std::string& status, const std::string& name, const std::string& shape,
                       const std::string& origin) {
    return fmt::format("{:<9} {:<52} {:<22} {}\n", status, name, shape, origin);
  };
  std::string text = line("", "model", "shape", "file");
  for (const nn::StateEntry& entry : nn::state(model)) {
    const std::string shape = shape_in_reference(entry).str();
    const auto origin = origins.find(entry.name);
    if (origin == origins.end())
      text += line("missing", entry.name, shape, "");
    else if (loaded.contains(entry.name))
      text += line("fits", entry.name, shape, origin->second);
    else
      text += line("misfit", entry.name, shape, fmt::format("{} {}", origin->second, shapes.at(origin->second)));
  }
  for (const std::string& name : report.unexpected) {
    const std::string& origin = origins.at(name);
    text += line("left over", "", "", fmt::format("{} {}", origin, shapes.at(origin)));
  }
  return text + fmt::format("{} tensors fit, {} are missing, {} are of another shape, {} are left over ({})\n",
                            report.loaded.size(), report.missing.size(), report.mismatched.size(),
                            report.unexpected.size(), names.str());
}

LoadedWeights load_weights(nn::Module& model, const WeightsFile& file, nn::Strictness strictness,
                           const std::string& prefix) {
  const bool ours = is_checkpoint(file);
  const std::vector<NamedTensor> tensors = ours ? model_tensors(file) : file.tensors;
  NamesInFile theirs{.dicts = file.dicts, .weights = file.weights};
  std::map<std::string, Shape> wanted;
  for (const NamedTensor& entry : tensors) theirs.tensors.emplace(entry.name, entry.tensor.shape());
  for (const nn::StateEntry& entry : nn::state(model))
    wanted.emplace(entry.name, ours ? entry.tensor.shape() : shape_in_reference(entry));
  LoadedWeights result;
  try {
    result.names = find_name_rule(theirs, wanted, prefix);
  } catch (const Error& error) {
    fail("{}: {}", file.path.string(), error.what());
  }
  for (const NamedTensor& entry : tensors) result.origins.emplace(result.names(entry.name), entry.name);
  try {
    result.report = nn::load_state(model, tensors, strictness, !ours, result.names);
  } catch (const Error& error) {
    fail("{}: {} ({})", file.path.string(), error.what(), result.names.str());
  }
  return result;
}

LoadedWeights load_initial_weights(nn::Module& model, const TrainingConfig& config) {
  const WeightsFile file = read_weights_file(find_checkpoint(config.init_weights));
  LoadedWeights result = load_weights(model, file, nn::Strictness::kMatching, config.init_prefix);
  TESSERA_CHECK(!result.report.loaded.empty(),
                "{}: no tensor fits the model (training.init_prefix is \"{}\"); the file has {}", file.path.string(),
                config.init_prefix, file.tensors.empty() ? "no tensors" : file.tensors.front().name + ", ...");
  if (config.init_bgr) exchange_red_and_blue(model, result.report.loaded);
  return result;
}

std::vector<NamedTensor> reference_tensors(nn::Module& model) {
  std::vector<NamedTensor> tensors;
  for (const nn::StateEntry& entry : nn::state(model))
    tensors.push_back({entry.name, nn::to_theirs(entry.tensor, entry.layout)});
  return tensors;
}

}  // namespace tessera
