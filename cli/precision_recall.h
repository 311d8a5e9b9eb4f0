// Precision over recall, as the COCO and LVIS evaluators accumulate it, drawn.
#pragma once

#include <filesystem>
#include <optional>

#include "cli/chart.h"
#include "eval/average_precision.h"

namespace tessera {

// A curve per overlap threshold .50 to .95 with the AP under it: objects of all sizes, the largest number of
// detections. category: a position in result.per_category; without one the mean over the categories with ground truth.
Chart precision_recall_chart(const ApResult& result, std::optional<size_t> category = std::nullopt);

// At an overlap of 0.5 a curve per category with its AP50, of the categories with ground truth that have the most of
// it: counts, by category.
Chart precision_recall_by_category(const ApResult& result, const std::vector<i64>& counts, size_t most = 10);

// Writes FILE.svg, a single chart: that of the category, or the mean where `category` is empty; or FILE.html, a page
// with the mean and every category, or the one that is named. Errors: another ending, a category that there is not.
void write_precision_recall(const std::filesystem::path& path, const ApResult& result,
                            const std::string& category = "");

}  // namespace tessera
