#include "eval/rules.h"

#include <cmath>

#include "tensor/error.h"

namespace tessera {

namespace {

constexpr u32 kCocoLimits[] = {1, 10, 100};
constexpr u32 kLvisLimits[] = {300};

constexpr int k50 = 0, k75 = 5;  // positions of the thresholds 0.5 and 0.75
constexpr ApStat kCocoStats[] = {
    {.name = "AP", .limit = 2},
    {.name = "AP50", .threshold = k50, .limit = 2},
    {.name = "AP75", .threshold = k75, .limit = 2},
    {.name = "APs", .area = 1, .limit = 2},
    {.name = "APm", .area = 2, .limit = 2},
    {.name = "APl", .area = 3, .limit = 2},
    {.name = "AR1", .recall = true, .limit = 0},
    {.name = "AR10", .recall = true, .limit = 1},
    {.name = "AR100", .recall = true, .limit = 2},
    {.name = "ARs", .recall = true, .area = 1, .limit = 2},
    {.name = "ARm", .recall = true, .area = 2, .limit = 2},
    {.name = "ARl", .recall = true, .area = 3, .limit = 2},
};
constexpr ApStat kLvisStats[] = {
    {.name = "AP"},
    {.name = "AP50", .threshold = k50},
    {.name = "AP75", .threshold = k75},
    {.name = "APs", .area = 1},
    {.name = "APm", .area = 2},
    {.name = "APl", .area = 3},
    {.name = "APr", .frequency = 'r'},
    {.name = "APc", .frequency = 'c'},
    {.name = "APf", .frequency = 'f'},
    {.name = "AR@300", .recall = true},
    {.name = "ARs@300", .recall = true, .area = 1},
    {.name = "ARm@300", .recall = true, .area = 2},
    {.name = "ARl@300", .recall = true, .area = 3},
};

}  // namespace

ApRules coco_rules(ApTask task) {
  return {.limits = kCocoLimits, .stats = kCocoStats, .ignore_field = task == ApTask::kBoundary};
}

ApRules lvis_rules(ApTask task, const CocoDataset& dataset) {
  ApRules rules{.limits = kLvisLimits, .stats = kLvisStats, .ignore_field = true, .lvis = true, .federated = true};
  for (const CocoCategory& category : dataset.categories)
    TESSERA_CHECK(category.frequency != 0, "{}: category {} has no \"frequency\" (r, c or f); is this an LVIS file?",
                  dataset.name, category.id);
  if (task == ApTask::kBoundary) {
    for (AreaRange& range : rules.areas) range.high = std::nextafter(range.high, 0.0);
    rules.federated = dataset.images.empty() || dataset.images[0].neg_category_ids;
    return rules;
  }
  rules.crowds = false;
  for (const CocoImage& image : dataset.images)
    TESSERA_CHECK(image.neg_category_ids, "{}: image {} has no \"neg_category_ids\"; is this an LVIS file?",
                  dataset.name, image.id);
  return rules;
}

}  // namespace tessera
