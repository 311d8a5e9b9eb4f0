// Precision over recall, as the COCO evaluator accumulates it, drawn.
#pragma once

#include <filesystem>
#include <optional>

#include "cli/chart.h"
#include "eval/coco_eval.h"

namespace tessera {

// A curve per overlap threshold .50 to .95 with the AP under it: objects of all sizes, 100 detections per image.
// category: a position in result.per_category; without one the mean over the categories with ground truth.
Chart precision_recall_chart(const CocoEvalResult& result, std::optional<size_t> category = std::nullopt);

// Writes FILE.svg, a single chart: that of the category, or the mean where `category` is empty; or FILE.html, a page
// with the mean and every category, or the one that is named. Errors: another ending, a category that there is not.
void write_precision_recall(const std::filesystem::path& path, const CocoEvalResult& result,
                            const std::string& category = "");

}  // namespace tessera
