#include "eval/average_precision.h"

#include <omp.h>

#include <algorithm>

#include "data/parallel.h"
#include "data/tally.h"
#include "eval/checks.h"
#include "eval/group_matcher.h"

namespace tessera {

namespace {

std::string in_words(const std::set<i64>& ids) {
  Tally tally;
  for (const i64 id : ids) tally.add(std::to_string(id));
  return tally.names();
}

constexpr size_t kT = kIouThresholds.size(), kA = kAreaRanges.size();

class Evaluation {
 public:
  Evaluation(const CocoDataset& dataset, const DetectionList& detections, ApTask task, const ApOptions& options,
             const ApRules& rules)
      : dataset_(dataset), options_(options), rules_(rules), limits_(rules.limits.size()) {
    const Placement placement = place(dataset, detections, task, options, rules);
    classes_ = placement.classes;
    match(detections, placement, task);
    accumulate();
    summarise();
    result_.task = task;
    result_.lvis = rules.lvis;
    result_.limits.assign(rules.limits.begin(), rules.limits.end());
    result_.images = static_cast<i64>(dataset.images.size());
    if (placement.strangers > 0)
      result_.warnings.push_back(fmt::format("{}: {} results of categories that are not in {} are left out ({})",
                                             options.results_name, placement.strangers, dataset.name,
                                             in_words(placement.strange_categories)));
    for (const CocoAnnotation& annotation : dataset.annotations) {
      if (annotation.id == 0)
        result_.warnings.push_back(fmt::format(
            "{}: annotation id 0 means \"not matched\" in the COCO rules: whatever finds this object counts as "
            "wrong",
            dataset.name));
    }
  }
  ApResult take() { return std::move(result_); }

 private:
  // Fills outcomes_ and positives_.
  void match(const DetectionList& detections, const Placement& placement, ApTask task) {
    const std::vector<Group>& groups = placement.groups;
    std::vector<size_t> begin(groups.size() + 1, 0);
    for (size_t g = 0; g < groups.size(); ++g) begin[g + 1] = begin[g] + kept_detections(groups[g], rules_);
    outcomes_.resize(begin.back());
    std::vector<GroupMatcher> matchers(static_cast<size_t>(omp_get_max_threads()),
                                       GroupMatcher(dataset_, detections, placement, task, options_, rules_));
    parallel_for(static_cast<i64>(groups.size()), [&](i64 g) {
      matchers[omp_get_thread_num()].match(groups[g], std::span(outcomes_).subspan(begin[g], begin[g + 1] - begin[g]));
    });

    class_begin_.assign(classes_ + 1, 0);
    positives_.resize(classes_);
    for (size_t g = 0; g < groups.size(); ++g) {
      const Group& group = groups[g];
      class_begin_[group.cls + 1] = begin[g + 1];
      result_.detections += static_cast<i64>(group.detection_end - group.detection_begin);
      for (size_t t = group.truth_begin; t < group.truth_end; ++t) {
        const MatchTruth truth = match_truth(dataset_.annotations[placement.truths[t].source], rules_);
        for (size_t a = 0; a < kA; ++a) positives_[group.cls][a] += !is_ignored(truth, rules_.areas[a]);
      }
    }
    for (size_t k = 0; k < classes_; ++k) class_begin_[k + 1] = std::max(class_begin_[k + 1], class_begin_[k]);
  }

  // Class by class: all images' outcomes by score, then every area range and limit.
  void accumulate() {
    const size_t K = classes_, M = limits_;
    result_.precision.assign(kT * kRecallSteps * K * kA * M, -1);
    result_.scores = result_.precision;
    result_.recall.assign(kT * K * kA * M, -1);
    const auto of_class = [&](size_t k) {
      return std::span(outcomes_).subspan(class_begin_[k], class_begin_[k + 1] - class_begin_[k]);
    };
    parallel_for(
        static_cast<i64>(K),
        [&](i64 k) {
          const std::span<ScoredOutcome> outcomes = of_class(k);
          std::stable_sort(outcomes.begin(), outcomes.end(),
                           [](const ScoredOutcome& a, const ScoredOutcome& b) { return a.score > b.score; });
        },
        1);
    const size_t stride = K * kA * M;
    parallel_for(
        static_cast<i64>(stride),
        [&](i64 i) {
          const size_t m = i % M, a = i / M % kA, k = i / (M * kA);
          if (positives_[k][a] == 0) return;
          const PrecisionCurves curves = precision_curves(of_class(k), a, rules_.limits[m], positives_[k][a]);
          for (size_t t = 0; t < kT; ++t) {
            result_.recall[t * stride + i] = curves.recall[t];
            for (size_t r = 0; r < kRecallSteps; ++r) {
              result_.precision[(t * kRecallSteps + r) * stride + i] = curves.precision[t][r];
              result_.scores[(t * kRecallSteps + r) * stride + i] = curves.score[t][r];
            }
          }
        },
        1);
  }

  // Mean over the given classes, in the order of the arrays.
  double mean(const ApStat& stat, std::span<const size_t> classes) const {
    const size_t first = stat.threshold < 0 ? 0 : static_cast<size_t>(stat.threshold);
    const size_t last = stat.threshold < 0 ? kT : first + 1;
    const size_t steps = stat.recall ? 1 : kRecallSteps;
    const std::vector<double>& array = stat.recall ? result_.recall : result_.precision;
    std::vector<double> values;
    values.reserve((last - first) * steps * classes.size());
    for (size_t row = first * steps; row < last * steps; ++row)
      for (const size_t k : classes)
        values.push_back(array[((row * classes_ + k) * kA + stat.area) * limits_ + stat.limit]);
    return mean_of_present(values);
  }

  void summarise() {
    const bool named = !options_.class_agnostic;
    const auto category = [&](size_t k) { return named ? dataset_.categories[k] : CocoCategory{.id = -1}; };
    result_.stat_rules = rules_.stats;
    for (const ApStat& stat : rules_.stats) {
      std::vector<size_t> classes;
      for (size_t k = 0; k < classes_; ++k) {
        if (stat.frequency == 0 || stat.frequency == category(k).frequency) classes.push_back(k);
      }
      result_.stats.push_back(mean(stat, classes));
    }
    const int all = static_cast<int>(limits_) - 1;
    for (size_t k = 0; k < classes_; ++k) {
      const auto of = [&](ApStat stat) {
        stat.limit = all;
        return mean(stat, {&k, 1});
      };
      const CocoCategory& cls = category(k);
      result_.per_category.push_back({cls.id, cls.name, cls.frequency, of({"AP"}), of({.name = "AP50", .threshold = 0}),
                                      of({.name = "AP75", .threshold = 5}), of({.name = "APs", .area = 1}),
                                      of({.name = "APm", .area = 2}), of({.name = "APl", .area = 3}),
                                      of({.name = "AR", .recall = true})});
    }
  }

  const CocoDataset& dataset_;
  const ApOptions& options_;
  const ApRules& rules_;
  size_t limits_, classes_;
  std::vector<ScoredOutcome> outcomes_;  // by class
  std::vector<size_t> class_begin_;
  std::vector<std::array<i64, kA>> positives_;  // ground truths to be found, per class and area range
  ApResult result_;
};

}  // namespace

ApResult evaluate_coco(const CocoDataset& dataset, const DetectionList& detections, ApTask task,
                       const ApOptions& options) {
  check_annotations(dataset, task, true);
  return Evaluation(dataset, detections, task, options, coco_rules(task)).take();
}

ApResult evaluate_lvis(const CocoDataset& dataset, const DetectionList& detections, ApTask task,
                       const ApOptions& options) {
  check_annotations(dataset, task, true);
  TESSERA_CHECK(!options.class_agnostic, "evaluate_lvis: LVIS has no class-agnostic evaluation");
  return Evaluation(dataset, detections, task, options, lvis_rules(task, dataset)).take();
}

}  // namespace tessera
