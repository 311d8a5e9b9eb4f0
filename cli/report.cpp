// tessera report: one self-contained page about a run, or about several beside each other.
#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/history.h"
#include "cli/judgement_page.h"
#include "cli/output.h"
#include "cli/report_compare.h"
#include "tensor/file.h"
#include "train/sources.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

struct ReportOptions {
  std::vector<std::string> folders;
  std::string out;
  i64 pictures = 64;
  double score = 0.4;
};

// What the best checkpoint finds in pictures of the validation set. Without it one section that says why.
std::vector<PageSection> judged(const fs::path& folder, const ReportOptions& options) {
  std::vector<PageSection> sections;
  const std::string reason = or_reason("samples", [&]() -> std::string {
    const LoadedModel loaded = load(folder);
    if (loaded.config.data.val_annotations.empty()) return "<p>The configuration names no validation set.</p>";
    const auto set = load_data_set(loaded.config.data.val_annotations, "data.val_annotations");
    const Judgement judgement = judge(loaded, *set, spread(std::ssize(set->images), options.pictures), options.score);
    for (const std::string& line : judgement.left_out) fmt::print("{}\n", line);
    sections = judgement_sections(judgement);
    return "";
  });
  if (!reason.empty()) sections.push_back({"pictures", "Pictures", reason});
  return sections;
}

// The last figures of the metrics, or those of the losses.
std::string evaluation_table(const History& history, bool losses) {
  std::vector<std::vector<std::string>> rows{{""}};
  const auto shown = [&](const std::string& metric) { return (metric == kValidationLoss) == losses; };
  for (const auto& [metric, figures] : history.last_evaluation)
    for (const auto& [name, value] : figures)
      if (shown(metric) && std::ranges::find(rows[0], name) == rows[0].end()) rows[0].push_back(name);
  for (const auto& [metric, figures] : history.last_evaluation) {
    if (!shown(metric)) continue;
    std::vector<std::string>& row = rows.emplace_back(std::vector{metric});
    for (size_t i = 1; i < rows[0].size(); ++i) {
      const auto found = std::ranges::find(figures, rows[0][i], &Figures::value_type::first);
      row.push_back(found == figures.end() || found->second < 0 ? "-" : fmt::format("{:.3f}", found->second));
    }
  }
  if (rows.size() == 1) return losses ? "" : "<p>The run was not evaluated yet.</p>\n";
  return html_table(losses ? "losses on the validation set" : "the last evaluation", rows);
}

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
  return note + "<pre tabindex=\"0\">" + escape_html(text) + "</pre>\n";
}

Chart curves(const History& history, const std::string& title, const std::vector<std::string>& names,
             bool log_scale = false) {
  Chart chart{title, "step", {}, log_scale};
  for (const std::string& name : names)
    if (auto found = history.curves.find(name); found != history.curves.end()) chart.series.push_back(found->second);
  return chart;
}

void report(const ReportOptions& options) {
  const fs::path folder = options.folders[0];
  const fs::path out = options.out.empty() ? folder / "report.html" : fs::path(options.out);
  check_outputs({out}, {});
  const History history(read_log(folder));
  std::vector<std::string> terms;
  for (const auto& [name, series] : history.curves)
    if (name.starts_with("loss_")) terms.push_back(name);

  std::vector<PageSection> sections;
  sections.push_back(
      {"evaluation", "Evaluation",
       evaluation_table(history, false) + evaluation_table(history, true) +
           chart_figures(std::vector{curves(history, "AP on the validation set", history.main_figures())})});
  const std::string charts = chart_figures(
      std::vector{curves(history, "loss", {"loss", "val loss"}), curves(history, "loss terms (weighted)", terms, true),
                  curves(history, "learning rate", {"lr"}), curves(history, "gradient norm", {"grad_norm"}, true),
                  curves(history, "images per second", {"images_per_s"})});
  sections.push_back(
      {"training", "Training", charts.empty() ? "<p>No step was logged yet.</p>\n" : kSmoothing + charts});
  std::ranges::move(judged(folder, options), std::back_inserter(sections));
  sections.push_back(
      {"configuration", "Configuration", or_reason("configuration", [&] { return configuration(folder); })});
  write_output(out, html_page(folder.lexically_normal().string(),
                              fmt::format("{} steps{}.", history.steps, history.passed_over()), sections));
  fmt::print("{}: {} steps{}\n", out.string(), history.steps, history.passed_over());
}

void run(const ReportOptions& options) {
  for (const fs::path folder : options.folders) {
    TESSERA_CHECK(fs::is_directory(folder), "{}: is no folder", folder.string());
    TESSERA_CHECK(fs::exists(folder / "log.jsonl") || fs::exists(folder / "config.toml") ||
                      fs::exists(best_path(folder)) || !list_checkpoints(folder).empty(),
                  "{}: holds no run: neither log.jsonl nor config.toml nor a checkpoint", folder.string());
  }
  if (options.folders.size() == 1) return report(options);
  compare_runs({options.folders.begin(), options.folders.end()},
               options.out.empty() ? fs::path("compare.html") : fs::path(options.out), options.score);
}

}  // namespace

void add_report(CLI::App& app) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand(
      "report", "Writes a page about a run: curves, figures, samples and configuration; or about several, compared");
  command->add_option("dir", options->folders, "folder of a run; several are compared")->required();
  command->add_option("--out", options->out, "file to write; without it DIR/report.html, of several compare.html");
  command
      ->add_option("--pictures", options->pictures,
                   "so many pictures of the validation set, spread over it, are judged; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--score", options->score,
                   "least score of what is drawn at first, and of what the confusion matrix counts")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command->callback([options] { run(*options); });
}

}  // namespace tessera
