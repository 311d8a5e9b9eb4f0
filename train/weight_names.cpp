#include "train/weight_names.h"

#include <algorithm>
#include <set>

#include "tensor/dtype.h"

namespace tessera {

namespace {

using Replacement = std::pair<std::string_view, std::string_view>;

bool replace_first(std::string& name, std::string_view from, std::string_view to) {
  const size_t at = name.find(from);
  if (at != std::string::npos) name.replace(at, from.size(), to);
  return at != std::string::npos;
}

bool replace_start(std::string& name, std::string_view from, std::string_view to) {
  return name.starts_with(from) && replace_first(name, from, to);
}

bool replace_end(std::string& name, std::string_view from, std::string_view to) {
  if (!name.ends_with(from)) return false;
  name.replace(name.size() - from.size(), from.size(), to);
  return true;
}

std::string as_it_is(const std::string& name) {
  return name;
}

std::string from_torchvision(const std::string& torchvision) {
  std::string name = torchvision;
  if (replace_start(name, "conv1.", "stem.conv1.") || replace_start(name, "bn1.", "stem.conv1.norm.")) return name;
  for (const auto& [from, to] :
       {Replacement{"layer1.", "res2."}, {"layer2.", "res3."}, {"layer3.", "res4."}, {"layer4.", "res5."}})
    replace_start(name, from, to);
  for (const auto& [from, to] : {Replacement{".bn1.", ".conv1.norm."},
                                 {".bn2.", ".conv2.norm."},
                                 {".bn3.", ".conv3.norm."},
                                 {".downsample.0.", ".shortcut."},
                                 {".downsample.1.", ".shortcut.norm."}})
    replace_first(name, from, to);
  return name;
}

// A normalisation there is a scale and a shift; mean and variance, where the file lacks them, stay 0 and 1.
std::string from_caffe2(const std::string& caffe2) {
  std::string name = caffe2;
  std::replace(name.begin(), name.end(), '_', '.');
  for (const auto& [from, to] : {Replacement{".bn.s", ".norm.weight"},
                                 {".bn.b", ".norm.bias"},
                                 {".bn.rm", ".norm.running_mean"},
                                 {".bn.riv", ".norm.running_var"},
                                 {".w", ".weight"},
                                 {".b", ".bias"}})
    if (replace_end(name, from, to)) break;
  replace_start(name, "res.conv1.", "conv1.");
  replace_start(name, "conv1.", "stem.conv1.");
  for (const auto& [from, to] : {Replacement{".branch1.", ".shortcut."},
                                 {".branch2a.", ".conv1."},
                                 {".branch2b.", ".conv2."},
                                 {".branch2c.", ".conv3."}})
    replace_first(name, from, to);
  return name;
}

constexpr NameConvention kConventions[] = {
    {"the model itself", as_it_is}, {"torchvision", from_torchvision}, {"Caffe2", from_caffe2}};
constexpr const char* kPrefixes[] = {"", "module.", "_orig_mod.", "model.", "backbone.", "backbone.bottom_up."};

}  // namespace

std::string NameRule::operator()(const std::string& name) const {
  if (name.ends_with("num_batches_tracked")) return "";
  return add + convention->rename(name.starts_with(remove) ? name.substr(remove.size()) : name);
}

std::string NameRule::str() const {
  std::string text = fmt::format("names of {}", convention->name);
  if (!remove.empty()) text += fmt::format(", without {}", remove);
  if (!add.empty()) text += fmt::format(", {} put before them", add);
  return text;
}

NameRule find_name_rule(const std::vector<std::string>& file, const std::vector<std::string>& model,
                        const std::string& add) {
  const std::set<std::string> wanted(model.begin(), model.end());
  NameRule best;
  i64 most = -1;
  for (const std::string& before : add.empty() ? std::vector<std::string>{"", "backbone."} : std::vector{add})
    for (const NameConvention& convention : kConventions)
      for (const char* prefix : kPrefixes) {
        const NameRule rule{prefix, before, &convention};
        const i64 fits = std::count_if(file.begin(), file.end(),
                                       [&](const std::string& name) { return wanted.contains(rule(name)); });
        if (fits <= most) continue;
        most = fits;
        best = rule;
      }
  return best;
}

}  // namespace tessera
