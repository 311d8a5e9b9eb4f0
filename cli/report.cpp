// tessera report: one self-contained page about a run.
#include <simdjson.h>

#include <algorithm>
#include <map>
#include <memory>

#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/loaded_model.h"
#include "cli/picture.h"
#include "data/image.h"
#include "tensor/file.h"
#include "train/progress.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

constexpr i64 kSamples = 8;          // validation images shown
constexpr double kDrawnScore = 0.4;  // of predictions that are drawn

struct ReportOptions {
  std::string folder;
};

// The curves of log.jsonl, by name: "loss", "loss_dice", "lr", "grad_norm", "segm AP", ...
struct History {
  std::map<std::string, Series> curves;
  std::map<std::string, double> last_evaluation;  // "segm AP" -> value
  i64 steps = 0;

  void add(const std::string& name, double x, double y) {
    Series& series = curves[name];
    series.name = name;
    series.x.push_back(x);
    series.y.push_back(y);
  }
};

History read_history(const fs::path& path) {
  History history;
  simdjson::dom::parser parser;
  const std::string text = read_file(path);
  i64 number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    ++number;
    try {
      const simdjson::dom::element line = parser.parse(text.data() + begin, end - begin, true);
      const double step = static_cast<double>(i64(line["step"]));
      history.steps = std::max(history.steps, static_cast<i64>(step));
      if (std::string_view(line["event"]) == "step") {
        for (const char* name : {"loss", "lr", "grad_norm", "images_per_s"})
          history.add(name, step, double(line[name]));
        for (const auto& [name, value] : line["losses"].get_object())
          history.add(std::string(name), step, double(value));
      } else if (std::string_view(line["event"]) == "eval") {
        history.last_evaluation.clear();
        for (const char* task : {"segm", "bbox"}) {
          simdjson::dom::object figures;
          if (line[task].get(figures)) continue;
          for (const auto& [name, value] : figures) {
            history.add(fmt::format("{} {}", task, std::string_view(name)), step, double(value));
            history.last_evaluation[fmt::format("{} {}", task, std::string_view(name))] = double(value);
          }
        }
      }
    } catch (const simdjson::simdjson_error& error) {
      fail("{}:{}: not a line of a training log: {}", path.string(), number, error.what());
    }
    begin = end + 1;
  }
  return history;
}

std::string chart_of(const History& history, const std::string& title, const std::vector<std::string>& names,
                     bool log_scale = false) {
  Chart chart{title, "step", {}, log_scale};
  for (const std::string& name : names)
    if (auto found = history.curves.find(name); found != history.curves.end()) chart.series.push_back(found->second);
  return chart.series.empty() ? "" : "<figure>" + to_svg(chart) + "</figure>\n";
}

std::string picture_tag(const Tensor& picture, const std::string& caption) {
  return fmt::format(
      "<figure><img alt=\"{0}\" src=\"data:image/png;base64,{1}\"><figcaption>{0}</figcaption></figure>\n",
      escape_html(caption), base64(encode_png(picture)));
}

// Validation images with what is annotated (left) and what the model finds (right).
std::string samples(const fs::path& folder) {
  const LoadedModel loaded = load_model(folder);
  if (loaded.config.data.val_annotations.empty()) return "<p>The configuration names no validation set.</p>";
  const CocoDataset dataset = load_coco(loaded.config.data.val_annotations);
  const i64 count = static_cast<i64>(dataset.images.size()), shown = std::min(kSamples, count);
  std::string html;
  Progress progress("report", 0, shown);
  for (i64 i = 0; i < shown; ++i) {
    const i64 position = i * count / shown;  // spread over the set
    const CocoImage& info = dataset.images[static_cast<size_t>(position)];
    const Tensor image = load_image(fs::path(loaded.config.data.val_images) / info.file_name);
    std::vector<Instance> found = loaded.model->detect(loaded.batch_of(image)).at(0);
    std::erase_if(found, [](const Instance& instance) { return instance.score < kDrawnScore; });
    html += picture_tag(draw_annotated_and_found(image, dataset, position, found, loaded.info.classes), info.file_name);
    progress.update(i + 1);
  }
  return html;
}

std::string evaluation_table(const History& history) {
  static const char* const kFigures[] = {"AP",  "AP50", "AP75",  "APs", "APm", "APl",
                                         "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"};
  if (history.last_evaluation.empty()) return "<p>The run was not evaluated yet.</p>";
  std::string html = "<table><tr><th></th>";
  for (const char* name : kFigures) html += fmt::format("<th>{}</th>", name);
  html += "</tr>";
  for (const char* task : {"segm", "bbox"}) {
    html += fmt::format("<tr><th>{}</th>", task);
    for (const char* name : kFigures) {
      const auto found = history.last_evaluation.find(fmt::format("{} {}", task, name));
      html += found == history.last_evaluation.end() || found->second < 0
                  ? "<td>-</td>"
                  : fmt::format("<td>{:.3f}</td>", found->second);
    }
    html += "</tr>";
  }
  return html + "</table>\n";
}

const char* const kStyle = R"(
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } figure { margin: 1rem 0; } img { max-width: 100%; } figcaption { color: #6b7280; font-size: 13px; }
table { border-collapse: collapse; } td, th { padding: .25rem .6rem; border: 1px solid #e5e7eb; }
pre { background: #f3f4f6; padding: 1rem; overflow-x: auto; font-size: 13px; }
)";

void report(const ReportOptions& options) {
  const fs::path folder = options.folder;
  const History history = read_history(folder / "log.jsonl");
  TESSERA_CHECK(history.steps > 0, "{}: the log has no steps yet", (folder / "log.jsonl").string());
  std::vector<std::string> terms;
  for (const auto& [name, series] : history.curves)
    if (name.starts_with("loss_")) terms.push_back(name);

  std::string page =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">";
  page += fmt::format("<title>{0}</title><style>{1}{2}</style><body><h1>{0}</h1>",
                      escape_html(folder.lexically_normal().string()), kStyle, kChartStyle);
  page += fmt::format("<p>{} steps.</p><h2>Evaluation</h2>", history.steps) + evaluation_table(history);
  page += chart_of(history, "AP on the validation set", {"segm AP", "segm AP50", "bbox AP", "bbox AP50"});
  page += "<h2>Training</h2>" + chart_of(history, "loss", {"loss"}) +
          chart_of(history, "loss terms (weighted)", terms, true);
  page += chart_of(history, "learning rate", {"lr"}) + chart_of(history, "gradient norm", {"grad_norm"}, true);
  page += chart_of(history, "images per second", {"images_per_s"});
  page += "<h2>Samples: annotated (left), predicted (right)</h2>" + samples(folder);
  page += "<h2>Configuration</h2><pre>" + escape_html(Checkpoint::open(find_checkpoint(folder)).info().config) +
          "</pre></body></html>\n";
  write_file(folder / "report.html", page);
  fmt::print("{}\n", (folder / "report.html").string());
}

}  // namespace

void add_report(CLI::App& app) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command =
      app.add_subcommand("report", "Writes DIR/report.html: curves, figures, samples and configuration of a run");
  command->add_option("dir", options->folder, "folder of a run")->required();
  command->callback([options] { report(*options); });
}

}  // namespace tessera
