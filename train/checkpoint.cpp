#include "train/checkpoint.h"

#include <fmt/ranges.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "ops/reduce.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

constexpr const char* kVersion = "1";
constexpr const char* kPrefix = "checkpoint-";
constexpr const char* kSuffix = ".safetensors";

void append(std::vector<NamedTensor>& all, const std::string& prefix, const std::vector<NamedTensor>& part) {
  for (const NamedTensor& entry : part) all.push_back({prefix + entry.name, entry.tensor});
}

std::string list(const char* what, const std::vector<std::string>& names) {
  return names.empty() ? "" : fmt::format("; {} ({}): {}", what, names.size(), fmt::join(names, ", "));
}

// Copies the file's tensors into `targets` by name, once it is certain that every one fits. Tensors of the file for
// which `ignored` holds may be left over.
template <class Ignored>
void copy_tensors(const SafeTensors& file, std::vector<NamedTensor>& targets, Ignored&& ignored) {
  std::vector<std::string> missing, unexpected, mismatched;
  std::set<std::string> wanted;
  for (const NamedTensor& target : targets) {
    wanted.insert(target.name);
    if (!file.contains(target.name)) {
      missing.push_back(target.name);
      continue;
    }
    const Tensor& stored = file[target.name];
    if (stored.shape() != target.tensor.shape() || stored.dtype() != target.tensor.dtype())
      mismatched.push_back(fmt::format("{}: file {} {}, model {} {}", target.name, name_of(stored.dtype()),
                                       stored.shape(), name_of(target.tensor.dtype()), target.tensor.shape()));
  }
  for (const NamedTensor& stored : file.tensors())
    if (!wanted.contains(stored.name) && !ignored(stored.name)) unexpected.push_back(stored.name);
  TESSERA_CHECK(missing.empty() && unexpected.empty() && mismatched.empty(),
                "{}: does not fit the configured model{}{}{}", file.path().string(), list("missing", missing),
                list("unexpected", unexpected), list("mis-shaped", mismatched));
  for (NamedTensor& target : targets) target.tensor.copy_from(file[target.name].to(target.tensor.device()));
}

class Metadata {
 public:
  explicit Metadata(const SafeTensors& file) : file_(file) {}

  const std::string& text(const std::string& key) const {
    const auto found = file_.metadata().find(key);
    TESSERA_CHECK(found != file_.metadata().end(), "{}: is no checkpoint of tessera: metadata {} is missing",
                  file_.path().string(), key);
    return found->second;
  }

  template <class T>
  T number(const std::string& key) const {
    const std::string& digits = text(key);
    T value{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    TESSERA_CHECK(error == std::errc() && end == digits.data() + digits.size(), "{}: damaged metadata: {} is \"{}\"",
                  file_.path().string(), key, digits);
    return value;
  }

  template <class Read>
  void list(const std::string& key, Read&& read) const {
    simdjson::dom::parser parser;
    try {
      const simdjson::padded_string padded(text(key));
      for (const simdjson::dom::element element : simdjson::dom::array(parser.parse(padded))) read(element);
    } catch (const simdjson::simdjson_error&) {
      fail("{}: damaged metadata: {} is \"{}\"", file_.path().string(), key, text(key));
    }
  }

 private:
  const SafeTensors& file_;
};

bool has_part(const SafeTensors& file, std::string_view prefix) {
  return std::ranges::any_of(file.tensors(), [&](const NamedTensor& entry) { return entry.name.starts_with(prefix); });
}

// The step in a checkpoint's file name.
std::optional<i64> step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  const char* begin = name.data() + std::string_view(kPrefix).size();
  const char* end = name.data() + name.size() - std::string_view(kSuffix).size();
  i64 step = 0;
  const auto [stop, error] = std::from_chars(begin, end, step);
  return error == std::errc() && stop == end ? std::optional(step) : std::nullopt;
}

// The first of these files that can be opened.
std::optional<Checkpoint> first_whole(const fs::path& folder, const std::vector<fs::path>& candidates,
                                      const std::function<void(const std::string& why)>& passed_over) {
  std::string reasons;
  for (const fs::path& path : candidates) {
    try {
      Checkpoint checkpoint = Checkpoint::open(path);
      if (passed_over && !reasons.empty())
        passed_over(fmt::format("{}; {} is taken instead", reasons, path.filename().string()));
      return checkpoint;
    } catch (const Error& error) {
      reasons += (reasons.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  TESSERA_CHECK(reasons.empty(), "{}: no checkpoint can be read: {}", folder.string(), reasons);
  return std::nullopt;
}

}  // namespace

void save_checkpoint(const fs::path& path, const CheckpointInfo& info, nn::Module& module, const Optimizer* optimizer,
                     const Ema* ema) {
  std::vector<NamedTensor> tensors;
  append(tensors, "model.", nn::state_dict(module));
  if (ema) append(tensors, "ema.", ema->state());
  if (optimizer) append(tensors, "optimizer.", optimizer->state());
  // Losses and gradients are looked at in every step, but what an update makes of them may be too large.
  for (const auto& [name, tensor] : tensors)
    TESSERA_CHECK(
        tensor.dtype() == DType::kI64 || ops::all_finite(tensor),
        "{}: was not written: {} is not finite, and nothing could go on from it; a lower optimizer.lr may help",
        path.string(), name);
  save_safetensors(path, tensors,
                   {{"tessera", kVersion},
                    {"step", fmt::format("{}", info.step)},
                    {"loader_position", fmt::format("{}", info.loader_position)},
                    {"seed", fmt::format("{}", info.seed)},
                    {"evaluated", fmt::format("{}", info.evaluated)},
                    {"best", fmt::format("{}", info.best)},
                    {"no_better", fmt::format("{}", info.no_better)},
                    {"device", info.device},
                    {"config", info.config},
                    {"classes", nlohmann::json(info.classes).dump()},
                    {"category_ids", nlohmann::json(info.category_ids).dump()}});
}

Checkpoint Checkpoint::open(const fs::path& path) {
  Checkpoint checkpoint;
  checkpoint.file_ = SafeTensors::open(path);
  const Metadata metadata(checkpoint.file_);
  TESSERA_CHECK(metadata.text("tessera") == kVersion, "{}: checkpoint of version {}, this program reads version {}",
                path.string(), metadata.text("tessera"), kVersion);
  CheckpointInfo& info = checkpoint.info_;
  info.step = metadata.number<i64>("step");
  info.loader_position = metadata.number<i64>("loader_position");
  info.seed = metadata.number<u64>("seed");
  info.evaluated = metadata.number<i64>("evaluated");
  info.best = metadata.number<double>("best");
  const auto has = [&](const char* key) { return checkpoint.file_.metadata().contains(key); };  // older ones lack some
  if (has("no_better")) info.no_better = metadata.number<i64>("no_better");
  if (has("device")) info.device = metadata.text("device");
  info.config = metadata.text("config");
  metadata.list("classes", [&](auto element) { info.classes.emplace_back(std::string_view(element)); });
  metadata.list("category_ids", [&](auto element) { info.category_ids.push_back(i64(element)); });
  TESSERA_CHECK(info.classes.size() == info.category_ids.size(), "{}: damaged metadata: {} classes, {} category ids",
                path.string(), info.classes.size(), info.category_ids.size());
  return checkpoint;
}

bool Checkpoint::has_averages() const {
  return has_part(file_, "ema.");
}

bool Checkpoint::has_optimizer() const {
  return has_part(file_, "optimizer.");
}

void Checkpoint::restore(nn::Module& module, Optimizer& optimizer, Ema* ema) const {
  TESSERA_CHECK(has_optimizer(),
                "{}: has the weights alone, without the optimiser's state: no run can be resumed from it; "
                "training.init_weights begins one with these weights, in another folder",
                path().string());
  std::vector<NamedTensor> targets;
  append(targets, "model.", nn::state_dict(module));
  if (ema) append(targets, "ema.", ema->state());
  append(targets, "optimizer.", optimizer.state());
  copy_tensors(file_, targets, [](const std::string&) { return false; });
}

void Checkpoint::restore_weights(nn::Module& module) const {
  std::vector<NamedTensor> targets;
  for (const NamedTensor& entry : nn::state_dict(module)) {
    const std::string average = "ema." + entry.name;
    targets.push_back({file_.contains(average) ? average : "model." + entry.name, entry.tensor});
  }
  const auto ignored = [&](const std::string& name) {
    return name.starts_with("optimizer.") || (name.starts_with("model.") && file_.contains("ema." + name.substr(6)));
  };
  copy_tensors(file_, targets, ignored);
}

fs::path checkpoint_path(const fs::path& folder, i64 step) {
  return folder / fmt::format("{}{:08}{}", kPrefix, step, kSuffix);
}

fs::path best_path(const fs::path& folder) {
  return folder / (std::string("best") + kSuffix);
}

std::vector<fs::path> list_checkpoints(const fs::path& folder) {
  std::vector<std::pair<i64, fs::path>> found;
  if (fs::is_directory(folder))
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      if (const std::optional<i64> step = step_of(entry.path())) found.emplace_back(*step, entry.path());
  std::sort(found.begin(), found.end());
  std::vector<fs::path> paths;
  for (const auto& [step, path] : found) paths.push_back(path);
  return paths;
}

void prune_checkpoints(const fs::path& folder, i64 keep) {
  const std::vector<fs::path> paths = list_checkpoints(folder);
  for (size_t i = 0; i + static_cast<size_t>(keep) < paths.size(); ++i) fs::remove(paths[i]);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().ends_with(std::string(kSuffix) + ".partial")) fs::remove(entry.path());
}

void set_aside_checkpoints(const fs::path& folder, i64 step) {
  for (const fs::path& path : list_checkpoints(folder))
    if (*step_of(path) > step) fs::rename(path, path.string() + ".aside");
}

std::optional<Checkpoint> last_checkpoint(const fs::path& folder,
                                          const std::function<void(const std::string& why)>& passed_over) {
  std::vector<fs::path> candidates = list_checkpoints(folder);
  std::reverse(candidates.begin(), candidates.end());
  if (fs::exists(best_path(folder))) candidates.push_back(best_path(folder));
  return first_whole(folder, candidates, passed_over);
}

fs::path find_checkpoint(const fs::path& file_or_folder) {
  if (!fs::is_directory(file_or_folder)) return file_or_folder;
  std::vector<fs::path> candidates = list_checkpoints(file_or_folder);
  if (fs::exists(best_path(file_or_folder))) candidates.push_back(best_path(file_or_folder));
  std::reverse(candidates.begin(), candidates.end());
  const std::optional<Checkpoint> found =
      first_whole(file_or_folder, candidates, [](const std::string& why) { fmt::print(stderr, "tessera: {}\n", why); });
  TESSERA_CHECK(found, "{}: holds no checkpoint", file_or_folder.string());
  return found->path();
}

}  // namespace tessera
