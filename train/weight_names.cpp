#include "train/weight_names.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "tensor/error.h"

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

using Names = std::map<std::string, Shape>;

// Calls visit(name, shape) for the names that begin with `prefix`.
template <class F>
void for_each_under(const Names& names, const std::string& prefix, F&& visit) {
  for (auto at = names.lower_bound(prefix); at != names.end() && at->first.starts_with(prefix); ++at)
    visit(at->first, at->second);
}

bool starts_a_name(const Names& names, const std::string& prefix) {
  const auto first = names.lower_bound(prefix);
  return first != names.end() && first->first.starts_with(prefix);
}

// What may stand before the model's names: of all names and of those in each dict the parts "module.", "module.net.",
// ... that most begin with, each with every one of kPrefixes behind it.
std::set<std::string> prefixes_of(const NamesInFile& file) {
  std::set<std::string> found;
  const auto add_under = [&](std::string prefix) {
    for (bool deeper = true; deeper;) {
      i64 names = 0;
      std::map<std::string, i64> parts;
      for_each_under(file.tensors, prefix, [&](const std::string& name, const Shape&) {
        ++names;
        if (const size_t dot = name.find('.', prefix.size()); dot != std::string::npos)
          ++parts[name.substr(prefix.size(), dot + 1 - prefix.size())];
      });
      for (const char* behind : kPrefixes)
        if (const std::string whole = prefix + behind; starts_a_name(file.tensors, whole)) found.insert(whole);
      const auto most = std::max_element(parts.begin(), parts.end(),
                                         [](const auto& a, const auto& b) { return a.second < b.second; });
      deeper = most != parts.end() && 2 * most->second > names;
      if (deeper) prefix += most->first;
    }
  };
  add_under("");
  for (const std::string& dict : file.dicts) add_under(dict);
  return found;
}

// The innermost dict that all names with this prefix lie in.
std::string dict_of(const NamesInFile& file, std::string prefix) {
  while (!prefix.empty() && !file.dicts.contains(prefix)) {
    prefix.pop_back();
    prefix.resize(prefix.rfind('.') + 1);  // npos + 1 is 0
  }
  return prefix;
}

struct Candidate {
  NameRule rule;
  i64 shapes = 0, names = 0;  // tensors of the file that fit

  auto fit() const { return std::tuple(shapes, names); }
  bool apart_from(const Candidate& other) const {
    return !rule.remove.starts_with(other.rule.remove) && !other.rule.remove.starts_with(rule.remove);
  }
};

}  // namespace

std::string NameRule::operator()(const std::string& name) const {
  if (!name.starts_with(dict) || name.ends_with("num_batches_tracked")) return "";
  return name.starts_with(remove) ? add + convention->rename(name.substr(remove.size())) : name;
}

std::string NameRule::str() const {
  std::string text = fmt::format("names of {}", convention->name);
  if (!remove.empty()) text += fmt::format(", without {}", remove);
  if (!add.empty()) text += fmt::format(", {} put before them", add);
  if (!dict.empty()) text += fmt::format(", all outside of {} passed over", dict);
  return text;
}

NameRule find_name_rule(const NamesInFile& file, const Names& model, const std::string& add) {
  const std::set<std::string> prefixes = prefixes_of(file);
  // The best so far, in the order of simplicity; where nothing fits, the names are left as they are.
  std::vector<Candidate> best{{{file.weights, add, &kConventions[0], file.weights}}};
  for (const std::string& before :
       add.empty() ? std::vector<std::string>{"", "backbone.", "backbone.body."} : std::vector{add})
    for (const NameConvention& convention : kConventions)
      for (const std::string& prefix : prefixes) {
        Candidate candidate{{prefix, before, &convention, dict_of(file, prefix)}};
        for_each_under(file.tensors, prefix, [&](const std::string& name, const Shape& shape) {
          const auto found = model.find(candidate.rule(name));
          if (found == model.end()) return;
          ++candidate.names;
          candidate.shapes += found->second == shape;
        });
        if (candidate.names == 0 || candidate.fit() < best.front().fit()) continue;
        if (candidate.fit() > best.front().fit()) best.clear();
        best.push_back(candidate);
      }
  const auto preferred = std::find_if(best.begin(), best.end(), [&](const Candidate& candidate) {
    return !file.weights.empty() && candidate.rule.remove.starts_with(file.weights);
  });
  if (preferred != best.end()) return preferred->rule;
  std::set<std::string> rivals{best.front().rule.remove};
  for (const Candidate& candidate : best)
    if (candidate.apart_from(best.front())) rivals.insert(candidate.rule.remove);
  TESSERA_CHECK(rivals.size() == 1,
                "{} fit the model equally well, {} tensors each; save the one that is meant in a file of its own",
                fmt::join(rivals, ", "), best.front().names);
  return best.front().rule;
}

}  // namespace tessera
