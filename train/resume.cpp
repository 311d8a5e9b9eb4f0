#include "train/resume.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "train/log.h"

namespace tessera {

namespace {

// The one place that says what a resumed run may change; the first line whose prefix an option has decides. Fixed is
// what gives the checkpoint its meaning: which tensors there are, what they have learned from, and what the position
// in the data counts. Everything else is read anew in each step, or acts on the evaluation alone.
constexpr ResumeRule kRules[] = {
    {"model.matcher."},
    {"model.loss."},
    {.prefix = "model.inference.", .new_figures = true},
    {"model.panoptic.things"},  // the data say it
    {.prefix = "model.panoptic.", .new_figures = true},
    {.prefix = "model.task", .new_figures = true},
    {"model.", "another network"},
    {.prefix = "data.val_", .new_figures = true},
    {"data.workers"},
    {"data.prefetch"},
    {"data.", "other data, or another order of it"},
    {"input.", "another input of the network"},
    {"augment."},  // a sample depends on the seed and its place in the run, not on what was made of the ones before
    {"optimizer.kind", "the checkpoint holds the moments of the other one"},
    {"optimizer."},  // of the groups their rates and decays; which are frozen: changes_on_resume
    {"schedule."},
    {"training.seed", "another seed"},
    {"training.batch_size", "the position in the data counts batches of this size"},
    {"training.ema_decay", "the checkpoint holds these averages, or none"},
    {"training.init_", "the run has begun already"},
    {"training."},  // accumulate among them: an update takes more of the same batches
    {.prefix = "evaluation.metric", .new_figures = true},
    {"evaluation."},
    {"", "nothing is known of it"},
};

// The patterns of the parameters that are not trained.
std::set<std::string> frozen(const Config& config) {
  std::set<std::string> patterns;
  for (const ParameterGroup& group : config.optimizer.groups)
    if (group.frozen.value_or(false)) patterns.insert(group.match.begin(), group.match.end());
  return patterns;
}

// Do the two values name the same file or folder, spelled in two ways?
bool same_file(const OptionValue& a, const OptionValue& b) {
  const std::string *one = std::get_if<std::string>(&a.data), *other = std::get_if<std::string>(&b.data);
  std::error_code none;
  return one && other && !one->empty() && !other->empty() && std::filesystem::equivalent(*one, *other, none);
}

}  // namespace

std::string OptionChange::str() const {
  return fmt::format("{}: {} -> {}", name, before, after);
}

const ResumeRule& resume_rule(const std::string& option) {
  return *std::find_if(std::begin(kRules), std::end(kRules),
                       [&](const ResumeRule& rule) { return option.starts_with(rule.prefix); });
}

std::vector<Setting> stored_settings(const Checkpoint& checkpoint) {
  std::vector<Setting> settings = parse_settings(checkpoint.info().config, checkpoint.path().string(), {});
  // Before there were groups of parameters, two options said what two groups say now.
  std::vector<OptionValue> groups;
  std::erase_if(settings, [&](const Setting& setting) {
    if (setting.name == "optimizer.no_decay")
      groups.push_back({OptionValue::Table{{"match", setting.value}, {"weight_decay", {0.0}}}});
    else if (setting.name != "optimizer.backbone_lr")
      return false;
    else if (setting.value.toml() != "1.0")
      groups.push_back({OptionValue::Table{{"match", {std::vector<OptionValue>{{std::string("backbone.*")}}}},
                                           {"lr_factor", setting.value}}});
    return true;
  });
  if (!groups.empty()) settings.push_back({"optimizer.groups", {groups}, checkpoint.path().string()});
  return settings;
}

Config stored_config(const Checkpoint& checkpoint) {
  return make_config(stored_settings(checkpoint));
}

CheckpointInfo info_with_evaluation(const Checkpoint& checkpoint, const std::filesystem::path& folder) {
  CheckpointInfo info = checkpoint.info();
  const Scores scores = logged_evaluation(folder, info.step);
  if (scores.empty() || info.evaluated == info.step) return info;
  info.evaluated = info.step;
  if (const auto figure = merit(scores, stored_config(checkpoint).evaluation.metric)) {
    info.no_better = *figure > info.best ? 0 : info.no_better + 1;
    info.best = std::max(info.best, *figure);
  }
  return info;
}

std::vector<OptionChange> changes_on_resume(const Checkpoint& checkpoint, const Config& config) {
  Config before = stored_config(checkpoint), after = config;  // options refer to structs that could be written to
  const std::vector<Option> known = options_of(before);
  std::vector<OptionChange> changes;
  std::string refused;
  for (const Option& option : options_of(after)) {
    const auto old = std::find_if(known.begin(), known.end(),
                                  [&](const Option& candidate) { return candidate.name == option.name; });
    if (old == known.end()) continue;  // of another kind of network; that kind is an option, too
    ResumeRule rule = resume_rule(option.name);
    if (option.name == "optimizer.groups" && frozen(config) != frozen(before))
      rule.fixed_because = "the checkpoint has the moments of the parameters that it trained";
    const OptionValue was = old->get(), is = option.get();
    if (was.toml() == is.toml() || same_file(was, is)) continue;
    changes.push_back({option.name, was.toml(), is.toml(), rule.new_figures});
    if (*rule.fixed_because != 0)
      refused += fmt::format("{}{} ({})", refused.empty() ? "" : ", ", changes.back().str(), rule.fixed_because);
  }
  TESSERA_CHECK(refused.empty(),
                "{}: a resumed run cannot change {}; leave that as it was, or begin a run in another folder (with "
                "training.init_weights it starts from these weights)",
                checkpoint.path().string(), refused);
  TESSERA_CHECK(config.training.steps >= checkpoint.info().step,
                "{}: the run has done {} steps already, training.steps cannot become {}", checkpoint.path().string(),
                checkpoint.info().step, config.training.steps);
  return changes;
}

}  // namespace tessera
