#include "cli/table_rows.h"

#include <algorithm>
#include <numeric>

#include "cli/model_report.h"

namespace tessera {

namespace {

double mega(double value) {
  return value / 1e6;
}

std::string published_columns(const PublishedModel& model,
                              const std::vector<std::pair<const char*, double PublishedModel::*>>& columns) {
  std::string text;
  for (const auto& column : columns) {
    const double value = model.*column.second;
    text += value == kNotPublished ? fmt::format("{:>7}", "-") : fmt::format("{:>7.1f}", value);
  }
  return text;
}

std::string row_text(const PublishedTable& table, const TableRow& row) {
  const nn::ModuleRun& run = row.numbers.of(table.part);
  const std::optional<double> seconds = row.numbers.seconds(table.part);
  const std::optional<Speed>& usual = row.numbers.usual_speed;
  const bool whole = table.part.empty() && row.numbers.speed;
  const auto parameters = static_cast<double>(run.parameters);
  std::string text =
      fmt::format("{:<28}{:>6}{:>10.3f}{:>11.3f}{:>11.2f}{:>10.4f}{:>10}", row.published.config, row.input,
                  mega(parameters), mega(static_cast<double>(run.trainable)), mega(parameters * sizeof(float)),
                  giga(static_cast<double>(run.work.published)), seconds ? fmt::format("{:.2f}", 1 / *seconds) : "-");
  if (table.usual_objects > 0)
    text += fmt::format("{:>10}", usual ? fmt::format("{:.2f}", usual->images_per_second()) : "-");
  const Memory& memory = row.numbers.memory;
  return text + fmt::format("{:>9}{:>10} |",
                            whole ? fmt::format("{:.0f}", mega(static_cast<double>(memory.forward))) : "-",
                            whole ? fmt::format("{:.0f}", mega(static_cast<double>(memory.tape))) : "-");
}

// Images per second of a row, published or ours.
using SpeedOf = std::optional<double> (*)(const PublishedTable&, const TableRow&);

Chart over_speed(const std::string& title, const std::vector<MeasuredTable>& tables, SpeedOf speed_of) {
  Chart chart{.title = title, .x_label = "images per second", .series = {}};
  for (const auto& [table, rows] : tables) {
    const bool test_dev =
        std::ranges::any_of(table.models, [](const PublishedModel& model) { return model.ap != kNotPublished; });
    Series series{.name = table.title + (test_dev ? ": AP" : ": APval"), .x = {}, .y = {}};
    for (const TableRow& row : rows) {
      const double ap = test_dev ? row.published.ap : row.published.ap_val;
      const std::optional<double> speed = speed_of(table, row);
      if (ap == kNotPublished || !speed) continue;
      series.x.push_back(*speed);
      series.y.push_back(ap);
      series.marks.push_back(row.published.config);
    }
    if (!series.x.empty()) chart.series.push_back(std::move(series));
  }
  return chart;
}

std::string latency_line(const std::string& name, const std::vector<double>& milliseconds) {
  const double sum = std::accumulate(milliseconds.begin(), milliseconds.end(), 0.0);
  std::string text = fmt::format("{:<18}", name);
  for (const double part : milliseconds) text += fmt::format("{:>10.1f} ({:>4.1f} %)", part, 100 * part / sum);
  return text + fmt::format("{:>10.1f}\n", sum);
}

// In the order of the published parts.
std::vector<double> milliseconds_of(const PublishedLatencies& published, const Speed& speed) {
  std::vector<double> all;
  for (const std::string& part : published.parts) {
    const auto found = std::ranges::find(speed.parts, part, &Speed::Part::name);
    TESSERA_CHECK(found != speed.parts.end(), "table: the network has no part {}", part);
    all.push_back(found->seconds.median * 1e3);
  }
  return all;
}

}  // namespace

const nn::ModuleRun& Numbers::of(const std::string& part) const {
  const auto found = std::ranges::find(modules, part, &nn::ModuleRun::name);
  TESSERA_CHECK(found != modules.end(), "table: the network has no part {}", part);
  return *found;
}

std::optional<double> Numbers::seconds(const std::string& part) const {
  if (!speed) return {};
  if (part.empty()) return speed->seconds.median;
  const auto found = std::ranges::find(speed->parts, part, &Speed::Part::name);
  return found == speed->parts.end() ? std::nullopt : std::optional(found->seconds.median);
}

std::string table_text(const PublishedTable& table, const std::vector<TableRow>& rows, const std::string& counted) {
  std::vector<std::pair<const char*, double PublishedModel::*>> columns;  // those that any row has
  for (const auto& column : kPublishedColumns)
    if (std::ranges::any_of(table.models, [&](const auto& model) { return model.*column.second != kNotPublished; }))
      columns.push_back(column);

  std::string text = fmt::format("{}\n{:<28}{:>6}{:>10}{:>11}{:>11}{:>10}{:>10}", table.title, "ours", "input",
                                 "params M", "trained M", "weights MB", "GFLOPs", "images/s");
  if (table.usual_objects > 0) text += fmt::format("{:>10}", fmt::format("of {}", table.usual_objects));
  text += fmt::format("{:>9}{:>10} |", "run MB", "train MB");
  for (const auto& column : columns) text += fmt::format("{:>7}", column.first);
  text += "\n";
  for (const TableRow& row : rows) text += row_text(table, row) + published_columns(row.published, columns) + "\n";
  if (!table.measured.empty()) text += fmt::format("Right of the bar: published, {}. ", table.measured);
  text += fmt::format("GFLOPs as the papers count, {}.", counted);
  if (table.usual_objects > 0)
    text +=
        fmt::format(" images/s: with all boxes; of {}: with as many objects above the threshold.", table.usual_objects);
  return text + "\n\n";
}

nlohmann::ordered_json table_json(const PublishedTable& table, const TableRow& row) {
  nlohmann::ordered_json published = nlohmann::ordered_json::object();
  for (const auto& [name, value] : kPublishedColumns)
    if (row.published.*value != kNotPublished) published[name] = row.published.*value;
  const nn::ModuleRun& run = row.numbers.of(table.part);
  nlohmann::ordered_json json = {{"table", table.title},
                                 {"config", row.published.config},
                                 {"input", row.input},
                                 {"parameters", run.parameters},
                                 {"trained_parameters", run.trainable},
                                 {"flops", run.work.published},
                                 {"multiply_adds", run.work.multiply_adds},
                                 {"published", published}};
  if (!table.part.empty()) json["part"] = table.part;
  if (const std::optional<double> seconds = row.numbers.seconds(table.part)) json["images_per_second"] = 1 / *seconds;
  if (!row.numbers.speed || !table.part.empty()) return json;
  json["speed"] = speed_json(*row.numbers.speed);
  if (row.numbers.usual_speed) {
    json["usual_objects"] = table.usual_objects;
    json["usual_speed"] = speed_json(*row.numbers.usual_speed);
  }
  json["memory"] = {{"forward_bytes", row.numbers.memory.forward}, {"tape_bytes", row.numbers.memory.tape}};
  return json;
}

std::vector<Chart> accuracy_over_speed(const std::vector<MeasuredTable>& tables) {
  std::vector<Chart> charts = {over_speed("Published AP over published speed", tables,
                                          [](const PublishedTable& table, const TableRow& row) {
                                            const bool known = table.part.empty() && row.published.fps != kNotPublished;
                                            return known ? std::optional(row.published.fps) : std::nullopt;
                                          }),
                               over_speed("Published AP over our speed on this machine", tables,
                                          [](const PublishedTable& table, const TableRow& row) {
                                            const std::optional<double> seconds =
                                                table.part.empty() ? row.numbers.seconds("") : std::nullopt;
                                            return seconds ? std::optional(1 / *seconds) : std::nullopt;
                                          })};
  std::erase_if(charts, [](const Chart& chart) { return chart.series.empty(); });
  return charts;
}

std::string latency_text(const PublishedLatencies& published, const std::vector<Speed>& ours) {
  std::string text = fmt::format("{}: {}, milliseconds and shares\n{:<18}", published.title, published.config, "input");
  for (const std::string& part : published.parts) text += fmt::format("{:>19}", part);
  text += fmt::format("{:>10}\n", "total");
  for (size_t i = 0; i < ours.size(); ++i) {
    const i64 shortest = published.rows[i].shortest;
    text += latency_line(fmt::format("{}, published", shortest), published.rows[i].milliseconds);
    text += latency_line(fmt::format("{}, ours", shortest), milliseconds_of(published, ours[i]));
  }
  return text + fmt::format("Published: {}.\n", published.measured);
}

nlohmann::ordered_json latency_json(const PublishedLatencies& published, const std::vector<Speed>& ours) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (size_t i = 0; i < ours.size(); ++i) {
    nlohmann::ordered_json parts = nlohmann::ordered_json::object();
    for (size_t p = 0; p < published.parts.size(); ++p) parts[published.parts[p]] = published.rows[i].milliseconds[p];
    list.push_back({{"table", published.title},
                    {"config", published.config},
                    {"input", published.rows[i].shortest},
                    {"published", {{"milliseconds", parts}}},
                    {"speed", speed_json(ours[i])}});
  }
  return list;
}

}  // namespace tessera
