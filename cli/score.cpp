// tessera score: a result file against an annotation file.
#include "eval/score.h"

#include <fmt/core.h>

#include <memory>

#include "cli/bars.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/precision_recall.h"
#include "data/image.h"
#include "train/progress.h"

namespace tessera {

namespace {

struct ScoreCommand {
  ScoreRequest request;
  std::string metric, json, picture, curves, category;

  void run() {
    check_outputs({json, picture, curves}, {request.annotations, request.results});
    std::optional<Progress> progress;
    request.progress = [&](i64 done, i64 total) {
      if (!progress) progress.emplace(metric, 0, total);
      progress->update(done);
    };
    const Score score = score_results(metric, request);
    if (progress) progress->clear();
    TESSERA_CHECK(picture.empty() || !score.bars.empty(),
                  "score: the metric {} has no bar chart; those of TIDE and Cityscapes have", metric);
    TESSERA_CHECK(curves.empty() || score.ap, "score: the metric {} has no precision-recall curves", metric);
    fmt::print("{}", score.text);
    if (!json.empty()) write_output(json, score.json);
    if (!picture.empty()) write_output(picture, encode_png(draw_bars(score.bars)));
    if (!curves.empty()) write_precision_recall(curves, *score.ap, category);
  }
};

}  // namespace

void add_score(CLI::App& app) {
  CLI::App* score = app.add_subcommand("score", "Tells the figures of a result file");
  const auto command = std::make_shared<ScoreCommand>();
  score
      ->add_option(
          "--annotations", command->request.annotations,
          "annotation file; cityscapes: folder of the data set or its gtFine/val; panoptic: JSON file, beside it "
          "the folder of PNGs that is called as it is without .json")
      ->required();
  score
      ->add_option("--results", command->request.results,
                   "result file; cityscapes: folder with the text files; panoptic: JSON file, its PNGs as those of the "
                   "annotations")
      ->required();
  std::string known = "one of";
  for (const Metric& metric : metrics()) known += fmt::format("\n{}: {}", metric.name, metric.meaning);
  score->add_option("--metric", command->metric, known)->required();
  score->add_option("--ratio", command->request.ratio,
                    "boundary metrics: thickness of a boundary over the image's diagonal (0.02; cityscapes 0.005)");
  score->add_flag("--coco-categories", command->request.coco_categories,
                  "LVIS annotations with COCO's categories, for COCO detectors (AP*)");
  score->add_flag("--areas-from-boxes", command->request.areas_from_boxes,
                  "mask metrics: a detection with a box is small, medium or large by its box");
  score->add_option("--json", command->json, "file for the figures, as JSON");
  score->add_option("--picture", command->picture, "PNG file for a bar chart (TIDE, Cityscapes)");
  CLI::Option* curves =
      score->add_option("--curves", command->curves, "FILE.svg or FILE.html for the precision-recall curves");
  score->add_option("--category", command->category, "name of the category to draw; without it the mean (html: all)")
      ->needs(curves);
  score->callback([command] { command->run(); });
}

}  // namespace tessera
