// tessera score: a result file against an annotation file.
#include "eval/score.h"

#include <fmt/core.h>

#include <memory>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/precision_recall.h"

namespace tessera {

namespace {

struct ScoreCommand {
  std::string annotations, results, metric, json, curves, category;

  void run() const {
    const Score score = score_results(annotations, results, metric);
    fmt::print("{}", score.text);
    if (!json.empty()) write_output(json, score.json);
    if (curves.empty()) return;
    TESSERA_CHECK(score.coco, "score: the metric {} has no precision-recall curves", metric);
    write_precision_recall(curves, *score.coco, category);
  }
};

}  // namespace

void add_score(CLI::App& app) {
  CLI::App* score = app.add_subcommand("score", "Tells the COCO figures of a result file");
  const auto command = std::make_shared<ScoreCommand>();
  score->add_option("--annotations", command->annotations, "COCO annotation file")->required();
  score->add_option("--results", command->results, "COCO result file")->required();
  score->add_option("--metric", command->metric, "coco-segm or coco-bbox")->required();
  score->add_option("--json", command->json, "file for the figures, as JSON");
  CLI::Option* curves =
      score->add_option("--curves", command->curves, "FILE.svg or FILE.html for the precision-recall curves");
  score->add_option("--category", command->category, "name of the category to draw; without it the mean (html: all)")
      ->needs(curves);
  score->callback([command] { command->run(); });
}

}  // namespace tessera
