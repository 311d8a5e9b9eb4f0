#include "train/log.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "eval/score.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace tessera {

namespace {

using Json = nlohmann::ordered_json;

// Calls read(line, its step, its JSON) for each whole line of a log, which says whether it is one of ours. Returns how
// many are not.
template <class Read>
i64 for_each_line(const std::string& text, Read&& read) {
  simdjson::dom::parser parser;
  i64 passed_over = 0;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    simdjson::dom::element json;
    i64 step = 0;
    const bool ours = parser.parse(text.data() + begin, end - begin).get(json) == simdjson::SUCCESS &&
                      json["step"].get(step) == simdjson::SUCCESS &&
                      read(std::string_view(text).substr(begin, end + 1 - begin), step, json);
    if (!ours) ++passed_over;
  }
  return passed_over + (begin < text.size());
}

// JSON knows finite numbers only: the others are written as null.
template <class Value>
double number(const Value& json) {
  double value = 0;
  return json.get(value) == simdjson::SUCCESS ? value : std::nan("");
}
Figures numbers(const simdjson::dom::object& json) {
  Figures figures;
  for (const auto& [name, value] : json) figures.emplace_back(std::string(name), number(value));
  return figures;
}

Json object(const Figures& figures) {
  Json result = Json::object();
  for (const auto& [name, value] : figures) result[name] = value;
  return result;
}

std::string short_form(const StepRecord& r) {
  return fmt::format("loss {:.4f}  lr {:.2e}  {:.1f} img/s  {:.0f} MB", r.loss, r.lr, r.images_per_second, r.memory_mb);
}

// Removes lines of later steps, and one that is cut off.
void keep_until(i64 last, const std::filesystem::path& path) {
  const std::string before = std::filesystem::exists(path) ? read_file(path) : "";
  std::string kept;
  for_each_line(before, [&](std::string_view line, i64 step, const simdjson::dom::element&) {
    if (step <= last) kept += line;
    return true;
  });
  if (kept != before) write_file(path, kept);
}

}  // namespace

std::optional<double> merit(const Scores& scores, const std::string& metric) {
  for (const auto& [name, figures] : scores)
    if (name == find_metric(metric).short_name() && !figures.empty()) return figures.front().second;
  return std::nullopt;
}

Log::Log(const std::filesystem::path& folder, i64 step, const Options& options)
    : options_(options),
      file_(folder / "log.jsonl", [path = folder / "log.jsonl", step] { keep_until(step, path); }),
      progress_("train", step, options.steps, is_terminal() && !options.quiet) {
  if (options.tensorboard) events_.emplace(folder, step);
}

void Log::flush() {
  file_.flush();
  if (events_) events_->flush();
}

void Log::step(const StepRecord& r) {
  Json record{{"event", "step"},
              {"step", r.step},
              {"loss", r.loss},
              {"losses", object(r.losses)},
              {"lr", r.lr},
              {"grad_norm", r.grad_norm},
              {"ms", r.milliseconds},
              {"images_per_s", r.images_per_second},
              {"memory_mb", r.memory_mb}};
  if (r.ranks.size() > 1)
    for (const StepRecord::Rank& rank : r.ranks) {
      record["waiting_ms"].push_back(rank.waiting_milliseconds);
      record["rank_images_per_s"].push_back(rank.images_per_second);
    }
  file_.add(record.dump() + "\n");
  if (events_) {
    Figures scalars{{"train/loss", r.loss},
                    {"train/lr", r.lr},
                    {"train/grad_norm", r.grad_norm},
                    {"train/images_per_s", r.images_per_second}};
    for (const auto& [name, value] : r.losses) scalars.emplace_back("train/" + name, value);
    events_->add(r.step, scalars);
  }
  flush();
  if (options_.quiet) return;
  if (r.step % options_.every != 0 && r.step != 1 && r.step != options_.steps)
    return progress_.update(r.step, short_form(r));
  progress_.clear();
  if (printed_++ % 40 == 0) {
    std::string header = fmt::format("{:>8} {:>10}", "step", "loss");
    for (const auto& [name, value] : r.losses) header += fmt::format(" {:>{}}", name, std::max<size_t>(9, name.size()));
    fmt::print("{} {:>9} {:>9} {:>8} {:>7} {:>8} {:>9}\n", header, "lr", "grad_norm", "ms", "img/s", "MB", "left");
  }
  std::string line = fmt::format("{:>8} {:>10.5f}", r.step, r.loss);
  for (const auto& [name, value] : r.losses) line += fmt::format(" {:>{}.5f}", value, std::max<size_t>(9, name.size()));
  fmt::print("{} {:>9.2e} {:>9.3f} {:>8.1f} {:>7.1f} {:>8.0f} {:>9}\n", line, r.lr, r.grad_norm, r.milliseconds,
             r.images_per_second, r.memory_mb, format_duration(progress_.remaining_seconds(r.step)));
  std::fflush(stdout);
  progress_.update(r.step, short_form(r));
}

void Log::evaluation(i64 step, const Scores& scores, double seconds) {
  Json line{{"event", "eval"}, {"step", step}};
  for (const auto& [task, figures] : scores) line[task] = object(figures);
  line["seconds"] = seconds;
  file_.add(line.dump() + "\n");
  if (events_) {
    Figures scalars;
    for (const auto& [task, figures] : scores)
      for (const auto& [name, value] : figures) scalars.emplace_back(task + "/" + name, value);
    events_->add(step, scalars);
  }
  flush();
  std::string text = fmt::format("step {}:", step);
  for (const auto& [task, figures] : scores)
    for (size_t i = 0; i < std::min<size_t>(3, figures.size()); ++i)
      text += fmt::format(" {} {} {:.4f}", i == 0 ? " " + task : "", figures[i].first, figures[i].second);
  say(text + fmt::format("   ({})", format_duration(seconds)));
}

void Log::say(const std::string& text) {
  if (options_.quiet) return;
  progress_.clear();
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

void Log::sync() {
  file_.sync();
  if (events_) events_->sync();
}

LogContents read_log(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "log.jsonl";
  LogContents contents;
  if (!std::filesystem::exists(path)) return contents;
  contents.passed_over = for_each_line(read_file(path), [&](std::string_view, i64 step, const auto& json) {
    std::string_view event;
    if (step <= 0 || json["event"].get(event) != simdjson::SUCCESS || (event != "step" && event != "eval"))
      return false;
    LogLine& line = contents.lines.emplace_back(LogLine{.step = step});
    if (event == "step")
      for (const char* name : {"loss", "lr", "grad_norm", "images_per_s"})
        line.figures.emplace_back(name, number(json[name]));
    for (const auto& [name, value] : simdjson::dom::object(json)) {
      simdjson::dom::object named;
      if (value.get(named) != simdjson::SUCCESS) continue;
      if (event == "eval")
        line.scores.emplace_back(std::string(name), numbers(named));
      else
        std::ranges::copy(numbers(named), std::back_inserter(line.figures));  // the terms of the loss
    }
    return true;
  });
  return contents;
}

Scores logged_evaluation(const std::filesystem::path& folder, i64 step) {
  Scores scores;
  for (LogLine& line : read_log(folder).lines)
    if (line.step == step && !line.scores.empty()) scores = std::move(line.scores);
  return scores;
}

}  // namespace tessera
