#include "cli/report_compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "cli/history.h"
#include "cli/judgement_page.h"
#include "cli/output.h"
#include "train/resume.h"
#include "train/sources.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

constexpr i64 kPictures = 8;

struct ComparedRun {
  std::string name;
  fs::path folder;
  History history;
};

// The folders' own names, or their paths where two are called the same.
std::vector<ComparedRun> open_runs(const std::vector<fs::path>& folders) {
  std::vector<ComparedRun> runs;
  std::map<std::string, i64> times;
  for (const fs::path& folder : folders) {
    const fs::path path = (folder / "").lexically_normal().parent_path();
    runs.push_back({path.filename().string(), path, History(read_log(path))});
    ++times[runs.back().name];
  }
  for (ComparedRun& run : runs)
    if (times[run.name] > 1) run.name = run.folder.string();
  return runs;
}

Chart over_each_other(const std::vector<ComparedRun>& runs, const std::string& curve) {
  Chart chart{.title = curve, .x_label = "step", .series = {}};
  for (const ComparedRun& run : runs)
    if (const auto found = run.history.curves.find(curve); found != run.history.curves.end()) {
      chart.series.push_back(found->second);
      chart.series.back().name = run.name;
    }
  chart.log_scale = curve.starts_with("loss_") || curve == "grad_norm";
  return chart;
}

// The main figures of all runs, in the order in which they come.
std::vector<std::string> main_figures(const std::vector<ComparedRun>& runs) {
  std::vector<std::string> names;
  for (const ComparedRun& run : runs)
    for (const std::string& name : run.history.main_figures())
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  return names;
}

std::string figures_html(const std::vector<ComparedRun>& runs) {
  const std::vector<std::string> names = main_figures(runs);
  std::vector<std::vector<std::string>> rows{{"run", "steps"}};
  for (const std::string& name : names) rows[0].push_back(name + ", last"), rows[0].push_back(name + ", best");
  for (const ComparedRun& run : runs) {
    std::vector<std::string>& row = rows.emplace_back(std::vector{run.name, std::to_string(run.history.steps)});
    for (const std::string& name : names) {
      const auto found = run.history.curves.find(name);
      const bool known = found != run.history.curves.end();
      row.push_back(known ? fmt::format("{:.3f}", found->second.y.back()) : "-");
      row.push_back(known ? fmt::format("{:.3f}", std::ranges::max(found->second.y)) : "-");
    }
  }
  return html_table("figures on the validation set", rows);
}

Config config_of(const fs::path& folder) {
  const fs::path file = folder / "config.toml";
  return fs::exists(file) ? read_config(file) : stored_config(Checkpoint::open(find_checkpoint(folder)));
}

// The options whose values are not the same in all runs; of another backbone, say, there are others.
std::string options_html(const std::vector<ComparedRun>& runs) {
  std::vector<std::string> names;
  std::vector<std::map<std::string, std::string>> values;
  for (const ComparedRun& run : runs) {
    Config config = config_of(run.folder);
    std::map<std::string, std::string>& of_run = values.emplace_back();
    for (const Option& option : options_of(config)) {
      of_run[option.name] = option.get().toml();
      if (std::ranges::find(names, option.name) == names.end()) names.push_back(option.name);
    }
  }
  std::vector<std::vector<std::string>> rows{{"option"}};
  for (const ComparedRun& run : runs) rows[0].push_back(run.name);
  for (const std::string& name : names) {
    std::vector<std::string> row{name};
    for (const auto& of_run : values) {
      const auto found = of_run.find(name);
      row.push_back(found == of_run.end() ? "-" : found->second);
    }
    if (std::ranges::any_of(row.begin() + 2, row.end(), [&](const std::string& value) { return value != row[1]; }))
      rows.push_back(row);
  }
  return rows.size() == 1 ? "<p>All options are the same.</p>\n" : html_table("options that differ", rows, true);
}

// What each run's best checkpoint finds in pictures of the first one's validation set. Runs that have another set, or
// no checkpoint, are named.
std::string same_pictures(const std::vector<ComparedRun>& runs, double score) {
  std::string html;
  std::vector<Judgement> judgements;
  std::vector<std::string> names;
  std::shared_ptr<const CocoDataset> set;
  DataConfig data;
  for (const ComparedRun& run : runs)
    html += or_reason("pictures of " + run.name, [&]() -> std::string {
      const LoadedModel loaded = load(run.folder);
      const DataConfig& own = loaded.config.data;
      if (!set) {
        set = load_data_set(own.val_annotations, "data.val_annotations");
        data = own;
      }
      TESSERA_CHECK(own.val_annotations == data.val_annotations && own.val_images == data.val_images,
                    "its validation set is {}, that of {} is {}", own.val_annotations, runs[0].name,
                    data.val_annotations);
      judgements.push_back(judge(loaded, *set, spread(std::ssize(set->images), kPictures), score));
      names.push_back(run.name);
      return "";
    });
  if (judgements.empty()) return html;
  for (const std::string& line : judgements[0].left_out) html += "<p>" + escape_html(line) + "</p>\n";
  return html + layer_form(std::ssize(judgements[0].set.categories), score) + "<h3>What each finds</h3>\n" +
         pictures_html(judgements, names, spread(std::ssize(judgements[0].set.images), 0));
}

}  // namespace

void compare_runs(const std::vector<fs::path>& folders, const fs::path& out, double score) {
  check_outputs({out}, {});
  const std::vector<ComparedRun> runs = open_runs(folders);
  std::vector<Chart> figures, training;
  std::set<std::string> terms;
  std::vector<std::string> passed_over;
  for (const ComparedRun& run : runs) {
    for (const auto& [name, series] : run.history.curves)
      if (name.starts_with("loss_")) terms.insert(name);
    if (const std::string text = run.history.passed_over(); !text.empty()) passed_over.push_back(run.name + text);
  }
  for (const std::string& name : main_figures(runs)) figures.push_back(over_each_other(runs, name));
  for (const char* name : {"loss", "val loss"}) training.push_back(over_each_other(runs, name));
  for (const std::string& name : terms) training.push_back(over_each_other(runs, name));
  for (const char* name : {"lr", "grad_norm", "images_per_s"}) training.push_back(over_each_other(runs, name));
  const std::vector<PageSection> sections = {
      {"evaluation", "Evaluation", figures_html(runs) + chart_figures(figures)},
      {"options", "Options", or_reason("options", [&] { return options_html(runs); })},
      {"training", "Training", kSmoothing + chart_figures(training)},
      {"pictures", "Pictures", same_pictures(runs, score)}};
  std::string title;
  for (const ComparedRun& run : runs) title += (title.empty() ? "" : ", ") + run.name;
  write_output(out, html_page(title, fmt::format("{} runs. {}", runs.size(), fmt::join(passed_over, ". ")), sections));
  fmt::print("{}: {} runs\n", out.string(), runs.size());
  for (const std::string& text : passed_over) fmt::print("{}\n", text);
}

}  // namespace tessera
