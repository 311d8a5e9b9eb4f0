#include "train/preflight.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "data/cityscapes.h"
#include "data/data_check.h"
#include "data/image.h"
#include "data/parallel.h"
#include "train/evaluate.h"
#include "train/progress.h"

namespace tessera {

namespace {

using Lines = std::vector<std::string>;

void refuse(const Lines& faults) {
  TESSERA_CHECK(faults.empty(), "before the first step: {}", fmt::join(faults, "; and "));
}

Lines picture_faults(const CocoSource& source, const std::string& folder_option) {
  std::vector<CheckedPicture> checked(static_cast<size_t>(source.size()));
  Progress progress("check pictures");
  const auto check = [&](i64 i) { checked[i] = check_picture(source.image(i), source.folder()); };
  counted_for(source.size(), progress.counted(), check, 16);
  Tally absent, unreadable, other_size;
  for (const auto& [fault, what] : checked) {
    if (fault == PictureFault::kAbsent) absent.add(what);
    if (fault == PictureFault::kUnreadable) unreadable.add(what);
    if (fault == PictureFault::kOtherSize) other_size.add(what);
  }
  Lines faults;
  const auto tell = [&](const Tally& tally, const char* what, const char* way_out) {
    if (tally.count > 0)
      faults.push_back(fmt::format("{} of the {} pictures of {} {} in {} = \"{}\" ({}): {}", tally.count, source.size(),
                                   source.dataset().name, what, folder_option, source.folder().string(), tally.names(),
                                   way_out));
  };
  tell(absent, "do not exist", "name the folder that the file's names are relative to, or take these out of the file");
  tell(unreadable, "cannot be read", "replace them, or take them out of the file");
  tell(other_size, "have another size",
       "these are not the pictures that were annotated, or they were resized or turned");
  return faults;
}

// Ids and names of the validation set's categories must be among the training set's.
Lines category_faults(const CocoDataset& train, const CocoDataset& val) {
  const std::vector<std::string> strange = strange_categories(val, train);
  if (strange.empty()) return {};
  return {fmt::format(
      "{} of the {} categories of {} are not those of {} ({}): both files must give a class the same id "
      "and name",
      strange.size(), val.categories.size(), val.name, train.name, first_few(strange, strange.size(), Tally::kNamed))};
}

bool has_empty_box(const CocoAnnotation& annotation) {
  return annotation.bbox && ((*annotation.bbox)[2] <= 0 || (*annotation.bbox)[3] <= 0);
}

// What a metric compares, as the field of an annotation is called and as the word is.
struct Compared {
  Metric::Demands demand;
  ApTask task;
  const char *field, *word;
};
constexpr Compared kCompared[] = {{Metric::kMasks, ApTask::kSegm, "segmentation", "mask"},
                                  {Metric::kBoxes, ApTask::kBbox, "box", "box"}};

// Does the validation set have what its evaluation compares?
Lines validation_faults(const CocoDataset& val, const std::string& name) {
  const size_t count = val.annotations.size();
  if (count == 0)
    return {
        fmt::format("{} has no annotations, as test sets have none, so there is nothing to compare with: name a "
                    "validation set, or set data.val_annotations = \"\" to train without evaluation",
                    val.name)};
  const Metric& metric = find_metric(name);
  Lines faults;
  std::string instead;  // the other one of those that are told together
  for (const Metric& other : metrics())
    if (&other != &metric && other.belongs_to(metric))
      instead = fmt::format(", or set evaluation.metric = \"{}\"", other.short_name());
  for (const auto& [demand, task, field, word] : kCompared) {
    if (!(metric.demands & demand)) continue;
    Tally without = lacking(val, task);
    if (task == ApTask::kBbox && std::ranges::all_of(val.annotations, has_empty_box))
      for (const CocoAnnotation& annotation : val.annotations) without.add(std::to_string(annotation.id));
    if (without.count > 0)
      faults.push_back(
          fmt::format("{} of the {} annotations of {} have no {} ({}), which evaluation.metric = \"{}\" "
                      "needs: add them{}",
                      without.count, count, val.name, field, without.names(), name, instead));
  }
  try {
    check_kind(metric, val);
  } catch (const Error& error) {
    faults.push_back(fmt::format("{} (evaluation.metric)", error.what()));
  }

  std::vector<std::string> malformed(count);
  Tally no_area, no_mask;
  if (lacking(val, ApTask::kSegm).count == 0)
    parallel_for(static_cast<i64>(count), [&](i64 i) {
      try {
        check_mask(val, i);
      } catch (const Error& error) {
        malformed[static_cast<size_t>(i)] = error.what();
      }
    });
  for (size_t i = 0; i < count; ++i) {
    if (!val.annotations[i].area) no_area.add(std::to_string(val.annotations[i].id));
    if (!malformed[i].empty()) no_mask.add(malformed[i]);
  }
  if ((metric.demands & Metric::kAreas) && no_area.count > 0)
    faults.push_back(
        fmt::format("{} of the {} annotations of {} have no area ({}), which tells small objects from large "
                    "ones: add it",
                    no_area.count, count, val.name, no_area.names()));
  if (no_mask.count > 0)
    faults.push_back(fmt::format("{} of the {} masks of {} are malformed ({}): mend them, or take them out of the file",
                                 no_mask.count, count, val.name, no_mask.names()));
  return faults;
}

void append(Lines& lines, const Lines& more) {
  lines.insert(lines.end(), more.begin(), more.end());
}

void warn_of_crowded_pictures(const CocoSource& source, const std::optional<Segmenter::Limit>& limit, Lines& lines) {
  if (!limit) return;
  Tally crowded;
  i64 largest = 0;
  for (i64 i = 0; i < source.size(); ++i) {
    const i64 objects = source.objects(i);
    if (objects > limit->objects) crowded.add(source.image(i).file_name);
    largest = std::max(largest, objects);
  }
  if (crowded.count > 0)
    lines.push_back(fmt::format(
        "{}: {} of {} pictures have more objects than the {} that the network can find, up to {} "
        "({}); {} is the limit",
        source.dataset().name, crowded.count, source.size(), limit->objects, largest, crowded.names(), limit->option));
}

// Of a folder of Cityscapes.
void warn_of_pictures_without_labels(const CocoSource& source, Lines& lines) {
  if (!std::filesystem::is_directory(source.dataset().name)) return;
  if (const Tally without = cityscapes_without_labels(source.dataset(), source.folder()); without.count > 0)
    lines.push_back(fmt::format("{}: {} pictures have no labels in {} and are passed over ({})",
                                source.folder().string(), without.count, source.dataset().name, without.names()));
}

void warn_of_short_run(const Config& config, bool evaluates, Lines& lines) {
  const i64 steps = config.training.steps;
  const ScheduleConfig& schedule = config.schedule;
  std::vector<i64> missed;
  std::ranges::copy_if(schedule.milestones, std::back_inserter(missed), [&](i64 m) { return m >= steps; });
  const auto warn = [&]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
    lines.push_back(fmt::format(format, std::forward<Args>(args)...) + fmt::format(" (training.steps = {})", steps));
  };
  if (schedule.kind == ScheduleKind::kMultiStep && !missed.empty())
    warn("schedule.milestones: the run ends before {}, where the learning rate would drop", fmt::join(missed, ", "));
  if (schedule.warmup_steps >= steps)
    warn("schedule.warmup_steps = {}: the run ends before the learning rate has reached its value",
         schedule.warmup_steps);
  if (evaluates && config.evaluation.every > steps)
    warn("evaluation.every = {}: the only evaluation is after the last step", config.evaluation.every);
  if (config.training.checkpoint_every > steps)
    warn("training.checkpoint_every = {}: the only checkpoint is after the last step",
         config.training.checkpoint_every);
}

}  // namespace

void check_pictures(const CocoSource& source, const std::string& folder_option) {
  refuse(picture_faults(source, folder_option));
}

void check_data(const Config& config, const CocoSource& train, const CocoSource* val) {
  Lines faults;
  if (val) {
    append(faults, category_faults(train.dataset(), val->dataset()));
    append(faults, validation_faults(val->dataset(), config.evaluation.metric));
  }
  append(faults, picture_faults(train, "data.train_images"));
  if (val) append(faults, picture_faults(*val, "data.val_images"));
  refuse(faults);
}

Lines warnings(const Segmenter& model, const Config& config, const CocoSource& train, const CocoSource* val) {
  Lines lines;
  const std::string left_out = train.left_out();
  if (!left_out.empty()) lines.push_back(fmt::format("{}: {}", train.dataset().name, left_out));
  if (const Tally& boxes = train.boxes_of_masks(); boxes.count > 0)
    lines.push_back(fmt::format("{}: {} objects have no box, or an empty one, and get that of their mask ({})",
                                train.dataset().name, boxes.count, boxes.names()));
  warn_of_crowded_pictures(train, model.object_limit(), lines);
  warn_of_pictures_without_labels(train, lines);
  if (val) {
    warn_of_pictures_without_labels(*val, lines);
    warn_of_crowded_pictures(*val, model.object_limit(), lines);
    append(lines, missing_figures(val->dataset(), config.evaluation.metric));
  }
  warn_of_short_run(config, val != nullptr, lines);
  return lines;
}

Lines missing_figures(const CocoDataset& truth, const std::string& name) {
  Lines lines;
  for (const Metric& metric : metrics()) {
    if (!metric.belongs_to(find_metric(name))) continue;
    for (const auto& [demand, task, field, word] : kCompared)
      if (const Tally without = lacking(truth, task); (metric.demands & demand) && without.count > 0)
        lines.push_back(fmt::format("{}: there will be no {} figures: {} of {} annotations have no {} ({})", truth.name,
                                    metric.short_name(), without.count, truth.annotations.size(), word,
                                    without.names()));
  }
  return lines;
}

void print_warnings(const Lines& lines) {
  for (const std::string& line : lines) fmt::print(stderr, "tessera: warning: {}\n", line);
}

}  // namespace tessera
