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

NamedWeights name_weights(nn::Module& model, const WeightsFile& file, const std::string& prefix) {
  NamedWeights result{.ours = is_checkpoint(file)};
  result.tensors = result.ours ? model_tensors(file) : file.tensors;
  NamesInFile theirs{.dicts = file.dicts, .weights = file.weights};
  for (const NamedTensor& entry : result.tensors) theirs.tensors.emplace(entry.name, entry.tensor.shape());
  for (const nn::StateEntry& entry : nn::state(model))
    result.model.emplace(entry.name, result.ours ? entry.tensor.shape() : shape_in_reference(entry));
  try {
    result.names = find_name_rule(theirs, result.model, prefix);
  } catch (const Error& error) {
    fail("{}: {}", file.path.string(), error.what());
  }
  for (const NamedTensor& entry : result.tensors) {
    result.origins.emplace(result.names(entry.name), entry.name);
    result.file.emplace(result.names(entry.name), entry.tensor.shape());
  }
  return result;
}

LoadedWeights load_weights(nn::Module& model, const WeightsFile& file, nn::Strictness strictness,
                           const std::string& prefix) {
  const NamedWeights named = name_weights(model, file, prefix);
  LoadedWeights result{.report = {}, .names = named.names, .origins = named.origins};
  try {
    result.report = nn::load_state(model, named.tensors, strictness, !named.ours, named.names);
  } catch (const Error& error) {
    fail("{}: {} ({})", file.path.string(), error.what(), result.names.str());
  }
  return result;
}

std::vector<NamedTensor> reference_tensors(nn::Module& model) {
  std::vector<NamedTensor> tensors;
  for (const nn::StateEntry& entry : nn::state(model))
    tensors.push_back({entry.name, nn::to_theirs(entry.tensor, entry.layout)});
  return tensors;
}

}  // namespace tessera
