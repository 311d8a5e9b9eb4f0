// tessera report: one self-contained page about a run.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/picture.h"
#include "data/image.h"
#include "tensor/file.h"
#include "train/loaded_model.h"
#include "train/log.h"
#include "train/progress.h"
#include "train/sources.h"

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
  Scores last_evaluation;
  i64 steps = 0;
  i64 lines = 0, numbers = 0;  // passed over

  explicit History(const LogContents& log) : lines(log.passed_over) {
    for (const LogLine& line : log.lines) {
      steps = std::max(steps, line.step);
      for (const auto& [name, value] : line.figures) add(name, line.step, value);
      if (!line.scores.empty()) last_evaluation.clear();
      for (const auto& [metric, figures] : line.scores) {
        Figures& named = last_evaluation.emplace_back(metric, Figures{}).second;
        for (const auto& [figure, value] : figures)
          if (add(metric + " " + figure, line.step, value)) named.emplace_back(figure, value);
      }
    }
  }

 private:
  bool add(const std::string& name, i64 step, double value) {
    if (!std::isfinite(value)) return ++numbers, false;
    Series& series = curves[name];
    series.name = name;
    series.x.push_back(static_cast<double>(step));
    series.y.push_back(value);
    return true;
  }
};

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

// html(), or why it could not be made, which is also said on the terminal: a page without it is better than none.
template <class F>
std::string or_reason(const std::string& what, const F& html) {
  try {
    return html();
  } catch (const Error& error) {
    fmt::print("no {}: {}\n", what, error.what());
    return fmt::format("<p>No {}: {}</p>\n", escape_html(what), escape_html(error.what()));
  }
}

// Validation images with what is annotated (left) and what the model finds (right).
std::string samples(const fs::path& folder) {
  const LoadedModel loaded = load(folder);
  if (loaded.config.data.val_annotations.empty()) return "<p>The configuration names no validation set.</p>";
  const auto truth = load_data_set(loaded.config.data.val_annotations, "data.val_annotations");
  const CocoDataset& dataset = *truth;
  const i64 count = static_cast<i64>(dataset.images.size()), shown = std::min(kSamples, count);
  std::string html;
  Progress progress("report", 0, shown);
  for (i64 i = 0; i < shown; ++i) {
    const i64 position = i * count / shown;  // spread over the set
    const CocoImage& info = dataset.images[static_cast<size_t>(position)];
    html += or_reason(info.file_name, [&] {
      const Tensor image = load_image(fs::path(loaded.config.data.val_images) / info.file_name);
      std::vector<Instance> found = loaded.detect(image);
      std::erase_if(found, [](const Instance& instance) { return instance.score < kDrawnScore; });
      return picture_tag(draw_annotated_and_found(image, dataset, position, found, loaded.info.classes),
                         info.file_name);
    });
    progress.update(i + 1);
  }
  return html;
}

std::string evaluation_table(const History& history) {
  if (history.last_evaluation.empty()) return "<p>The run was not evaluated yet.</p>";
  std::vector<std::string> names;
  for (const auto& [metric, figures] : history.last_evaluation)
    for (const auto& [name, value] : figures)
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  std::string html = "<table><tr><th></th>";
  for (const std::string& name : names) html += fmt::format("<th>{}</th>", escape_html(name));
  html += "</tr>";
  for (const auto& [metric, figures] : history.last_evaluation) {
    html += fmt::format("<tr><th>{}</th>", escape_html(metric));
    for (const std::string& name : names) {
      const auto found = std::ranges::find(figures, name, &Figures::value_type::first);
      html +=
          found == figures.end() || found->second < 0 ? "<td>-</td>" : fmt::format("<td>{:.3f}</td>", found->second);
    }
    html += "</tr>";
  }
  return html + "</table>\n";
}

// Each metric's first two figures.
std::vector<std::string> main_figures(const History& history) {
  std::vector<std::string> names;
  for (const auto& [metric, figures] : history.last_evaluation)
    for (size_t i = 0; i < std::min<size_t>(2, figures.size()); ++i) names.push_back(metric + " " + figures[i].first);
  return names;
}

const char* const kStyle = R"(
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } figure { margin: 1rem 0; } img { max-width: 100%; } figcaption { color: #6b7280; font-size: 13px; }
table { border-collapse: collapse; } td, th { padding: .25rem .6rem; border: 1px solid #e5e7eb; }
pre { background: #f3f4f6; padding: 1rem; overflow-x: auto; font-size: 13px; }
)";

// Is it all that a run writes? What is cut off lacks options that reading it and writing it again gives it.
bool is_whole(const fs::path& config, const std::string& text) {
  try {
    return to_toml(read_config(config)) == text;
  } catch (const Error&) {
    return false;
  }
}

// What the run writes when it begins, or else what its checkpoint holds.
std::string configuration(const fs::path& folder) {
  const fs::path file = folder / "config.toml";
  const std::string text = fs::exists(file) ? read_file(file) : Checkpoint::open(find_checkpoint(folder)).info().config;
  std::string note;
  if (fs::exists(file) && !is_whole(file, text)) {
    note = "config.toml is not as a run writes it: cut off, edited, or of another version";
    fmt::print("{}\n", note);
    note = "<p>" + note + "</p>\n";
  }
  return note + "<pre>" + escape_html(text) + "</pre>\n";
}

std::string passed_over(const History& history) {
  std::string text;
  if (history.lines > 0)
    text += fmt::format("; {} lines of the log, cut off or unknown, were passed over", history.lines);
  if (history.numbers > 0)
    text += fmt::format("; {} numbers, missing or not finite, were passed over", history.numbers);
  return text;
}

void report(const ReportOptions& options) {
  const fs::path folder = options.folder;
  TESSERA_CHECK(fs::is_directory(folder), "{}: is no folder", folder.string());
  TESSERA_CHECK(fs::exists(folder / "log.jsonl") || fs::exists(folder / "config.toml") ||
                    fs::exists(best_path(folder)) || !list_checkpoints(folder).empty(),
                "{}: holds no run: neither log.jsonl nor config.toml nor a checkpoint", folder.string());
  const History history(read_log(folder));
  std::vector<std::string> terms;
  for (const auto& [name, series] : history.curves)
    if (name.starts_with("loss_")) terms.push_back(name);

  std::string page =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">";
  page += fmt::format("<title>{0}</title><style>{1}{2}</style><body><h1>{0}</h1>",
                      escape_html(folder.lexically_normal().string()), kStyle, kChartStyle);
  page += fmt::format("<p>{} steps{}.</p><h2>Evaluation</h2>", history.steps, passed_over(history)) +
          evaluation_table(history);
  page += chart_of(history, "AP on the validation set", main_figures(history));
  page += "<h2>Training</h2>" + chart_of(history, "loss", {"loss"}) +
          chart_of(history, "loss terms (weighted)", terms, true);
  page += chart_of(history, "learning rate", {"lr"}) + chart_of(history, "gradient norm", {"grad_norm"}, true);
  page += chart_of(history, "images per second", {"images_per_s"});
  page +=
      "<h2>Samples: annotated (left), predicted (right)</h2>" + or_reason("samples", [&] { return samples(folder); });
  page += "<h2>Configuration</h2>" + or_reason("configuration", [&] { return configuration(folder); });
  page += "</body></html>\n";
  write_file(folder / "report.html", page);
  fmt::print("{}: {} steps{}\n", (folder / "report.html").string(), history.steps, passed_over(history));
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
