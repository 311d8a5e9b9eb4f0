// tessera score: a result file against an annotation file.
#include "eval/score.h"

#include <fmt/core.h>

#include <memory>

#include "cli/bars.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "data/image.h"
#include "train/progress.h"

namespace tessera {

namespace {

struct ScoreCommand {
  ScoreRequest request;
  std::string metric, json, picture;

  void run() {
    std::optional<Progress> progress;
    request.progress = [&](i64 done, i64 total) {
      if (!progress) progress.emplace(metric, 0, total);
      progress->update(done);
    };
    const Score score = score_results(metric, request);
    if (progress) progress->clear();
    fmt::print("{}", score.text);
    if (!json.empty()) write_output(json, score.json);
    if (picture.empty()) return;
    TESSERA_CHECK(!score.charts.empty(), "--picture: {} has nothing to draw; tide and cityscapes have", metric);
    write_output(picture, encode_png(draw_bars(score.charts)));
  }
};

}  // namespace

void add_score(CLI::App& app) {
  CLI::App* score = app.add_subcommand("score", "Tells the figures of a result file");
  const auto command = std::make_shared<ScoreCommand>();
  score
      ->add_option("--annotations", command->request.annotations,
                   "annotation file; cityscapes: folder of the data set or its gtFine/val")
      ->required();
  score->add_option("--results", command->request.results, "result file; cityscapes: folder with the text files")
      ->required();
  std::string known = "one of";
  for (const Metric& metric : metrics()) known += fmt::format("\n{}: {}", metric.name, metric.meaning);
  score->add_option("--metric", command->metric, known)->required();
  score->add_option("--json", command->json, "file for the figures, as JSON");
  score->add_option("--picture", command->picture, "PNG file for a bar chart (tide, cityscapes)");
  score->add_option("--ratio", command->request.boundary_ratio,
                    "of boundary metrics: thickness of a boundary as a share of the diagonal");
  score->callback([command] { command->run(); });
}

}  // namespace tessera
