#include "train/transfer.h"

#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "train/checkpoint.h"

namespace tessera {

namespace {

// Classes that may learn from another one.
constexpr std::pair<std::string_view, std::string_view> kAlike[] = {{"rider", "person"}};

bool belongs_to(const std::string& name, const DependentPart& part) {
  return fnmatch(part.names.c_str(), name.c_str(), 0) == 0;
}

bool belongs_to_any(const std::string& name, const std::vector<DependentPart>& parts) {
  return std::ranges::any_of(parts, [&](const DependentPart& part) { return belongs_to(name, part); });
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

// The first tensor of the part that is not the file's; empty: all are.
std::string difference(const DependentPart& part, const NamedWeights& named) {
  for (const auto& [name, shape] : named.model) {
    if (!belongs_to(name, part)) continue;
    const auto theirs = named.file.find(name);
    if (theirs == named.file.end()) return fmt::format("{}: not in the file", name);
    if (theirs->second != shape) return fmt::format("{}: file {}, model {}", name, theirs->second, shape);
  }
  return "";
}

// Outside of the parts that begin anew everything must have fitted.
void check_rest(const nn::LoadReport& report, const std::vector<DependentPart>& anew, const WeightsFile& file) {
  std::vector<std::string> faults = report.mismatched;
  for (const std::string& name : report.missing)
    if (!belongs_to_any(name, anew)) faults.push_back(name + ": not in the file");
  for (const std::string& name : report.unexpected) faults.push_back(name + ": not in the model");
  TESSERA_CHECK(
      faults.empty(),
      "{}: is not the same network, {} tensors do not fit ({}); training.init_transfer = \"parts\" takes what fits",
      file.path.string(), faults.size(), fmt::join(faults, ", "));
}

// Where a class of the model finds its rows in the file: -1 is nowhere.
std::vector<i64> sources(const std::vector<std::string>& classes, const std::vector<std::string>& theirs) {
  std::vector<i64> result;
  for (const std::string& name : classes) {
    auto found = std::ranges::find(theirs, name);
    for (const auto& [like, other] : kAlike)
      if (found == theirs.end() && name == like) found = std::ranges::find(theirs, other);
    result.push_back(found == theirs.end() ? -1 : found - theirs.begin());
  }
  return result;
}

// Copies rows of the first dimension: those before the classes and behind them, and of each class its source's.
bool copy_rows(const Tensor& from, Tensor& to, i64 first, const std::vector<i64>& sources, i64 classes_from) {
  const i64 behind = to.dim(0) - first - std::ssize(sources);
  const auto width = [](const Tensor& t) { return t.numel() / t.dim(0); };
  if (from.rank() != to.rank() || behind < 0 || from.dim(0) != first + classes_from + behind ||
      width(from) != width(to))
    return false;
  const auto copy = [&](i64 source, i64 target) {
    std::copy_n(from.data<float>() + source * width(to), width(to), to.data<float>() + target * width(to));
  };
  for (i64 row = 0; row < first; ++row) copy(row, row);
  for (size_t k = 0; k < sources.size(); ++k)
    if (sources[k] >= 0) copy(first + sources[k], first + static_cast<i64>(k));
  for (i64 row = 0; row < behind; ++row) copy(first + classes_from + row, first + std::ssize(sources) + row);
  return true;
}

std::string tell_rows(const DependentPart& part, const std::vector<std::string>& classes,
                      const std::vector<std::string>& theirs, const std::vector<i64>& from) {
  std::vector<std::string> copied, anew;
  for (size_t k = 0; k < classes.size(); ++k) {
    if (from[k] < 0)
      anew.push_back(classes[k]);
    else if (const std::string& source = theirs[static_cast<size_t>(from[k])]; source == classes[k])
      copied.push_back(source);
    else
      copied.push_back(fmt::format("{} ({}'s)", classes[k], source));
  }
  return fmt::format("{}: rows copied of {} classes ({}){}", part.names, copied.size(), fmt::join(copied, ", "),
                     anew.empty() ? "" : fmt::format(", anew: {}", fmt::join(anew, ", ")));
}

// Into the parts that have a row per class; what is told of each.
std::vector<std::string> transfer_rows(nn::Module& model, const NamedWeights& named, const WeightsFile& file,
                                       const TransferTarget& target) {
  const std::vector<std::string> theirs = Checkpoint::open(file.path).info().classes;
  const std::vector<i64> from = sources(target.classes, theirs);
  std::map<std::string, Tensor> tensors;
  for (const NamedTensor& entry : named.tensors) tensors.emplace(named.names(entry.name), entry.tensor);
  std::vector<std::string> lines;
  for (const DependentPart& part : target.dependent) {
    if (!part.first_class) continue;
    for (nn::StateEntry& entry : nn::state(model)) {
      if (!belongs_to(entry.name, part)) continue;
      const auto theirs_of = tensors.find(entry.name);
      TESSERA_CHECK(
          theirs_of != tensors.end() &&
              copy_rows(theirs_of->second, entry.tensor, *part.first_class, from, std::ssize(theirs)),
          "{}: {} has no row for each of its {} classes and of the model's {} (training.init_transfer = \"rows\")",
          file.path.string(), entry.name, theirs.size(), target.classes.size());
    }
    lines.push_back(tell_rows(part, target.classes, theirs, from));
  }
  return lines;
}

}  // namespace

InitialWeights load_initial_weights(nn::Module& model, const TrainingConfig& config, const TransferTarget& target) {
  const WeightsFile file = read_weights_file(find_checkpoint(config.init_weights));
  const NamedWeights named = name_weights(model, file, config.init_prefix);
  const bool rows = config.init_transfer == Transfer::kRows;
  TESSERA_CHECK(
      !rows || named.ours,
      "{}: is no checkpoint of this program, and names no classes, which training.init_transfer = \"rows\" finds "
      "one another by; write \"network\"",
      file.path.string());
  InitialWeights result{.loaded = {.report = {}, .names = named.names, .origins = named.origins}};
  std::vector<DependentPart> anew;
  for (const DependentPart& part : target.dependent) {
    if (config.init_transfer == Transfer::kParts) break;
    const std::string why = difference(part, named);
    const bool by_rows = rows && part.first_class;  // its rows may be other classes' though their number is the same
    if (why.empty() && !by_rows) continue;
    anew.push_back(part);
    if (!by_rows) result.lines.push_back(fmt::format("{} begins anew ({})", part.names, why));
  }
  const auto rename = [&](const std::string& name) {
    const std::string ours = named.names(name);
    return belongs_to_any(ours, anew) ? "" : ours;
  };
  nn::LoadReport& report = result.loaded.report;
  report = nn::load_state(model, named.tensors, nn::Strictness::kMatching, !named.ours, rename);
  TESSERA_CHECK(!report.loaded.empty(),
                "{}: no tensor fits the model (training.init_prefix is \"{}\"); the file has {}", file.path.string(),
                config.init_prefix, file.tensors.empty() ? "no tensors" : file.tensors.front().name + ", ...");
  if (config.init_transfer != Transfer::kParts) check_rest(report, anew, file);
  if (rows) std::ranges::copy(transfer_rows(model, named, file, target), std::back_inserter(result.lines));
  if (config.init_bgr) exchange_red_and_blue(model, report.loaded);
  return result;
}

}  // namespace tessera
