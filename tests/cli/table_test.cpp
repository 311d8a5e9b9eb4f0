// What `tessera table` makes of measured and published numbers.
#include <doctest/doctest.h>

#include "cli/table_rows.h"
#include "models/model.h"
#include "tests/support/check_error.h"

namespace tessera {

namespace {

Speed speed_of(double seconds) {
  return {.parts = {}, .seconds = {seconds, seconds, seconds}, .runs = 5};
}

TableRow row_of(const std::string& config, double ap_val, double ap, double fps, double seconds) {
  TableRow row;
  row.published.config = config;
  row.published.ap_val = ap_val, row.published.ap = ap, row.published.fps = fps;
  row.numbers.modules.resize(1);
  row.numbers.modules[0].parameters = 9'212'982;
  row.numbers.speed = speed_of(seconds);
  return row;
}

MeasuredTable table_of(const std::string& title, const std::vector<TableRow>& rows) {
  PublishedTable table{.title = title, .models = {}, .measured = "on a GPU"};
  for (const TableRow& row : rows) table.models.push_back(row.published);
  return {table, rows};
}

}  // namespace

TEST_CASE("table: accuracy over speed has a mark for each row with both, of test-dev where a table has that") {
  constexpr double kNone = kNotPublished;
  const std::vector<Chart> charts =
      accuracy_over_speed({table_of("A", {row_of("one", 30, 31, 40, 2), row_of("two", 32, kNone, 20, 4)}),
                           table_of("B", {row_of("three", 33, kNone, kNone, 5)})});
  REQUIRE(charts.size() == 2);
  REQUIRE(charts[0].series.size() == 1);  // B's row has no published speed
  CHECK(charts[0].series[0].name == "A: AP");
  CHECK(charts[0].series[0].x == std::vector<double>{40});
  CHECK(charts[0].series[0].y == std::vector<double>{31});
  CHECK(charts[0].series[0].marks == std::vector<std::string>{"one"});
  REQUIRE(charts[1].series.size() == 2);
  CHECK(charts[1].series[0].x == std::vector<double>{0.5});
  CHECK(charts[1].series[1].name == "B: APval");
  CHECK(charts[1].series[1].x == std::vector<double>{0.2});
  CHECK(accuracy_over_speed({table_of("C", {row_of("four", kNone, kNone, 40, 2)})}).empty());
}

TEST_CASE("table: a network with a fixed number of boxes has its speed with all of them and with the usual objects") {
  auto [table, rows] = table_of("A", {row_of("one", 30, 31, 40, 2)});
  CHECK(table_text(table, rows, "at 416").find("of 7") == std::string::npos);
  table.usual_objects = 7;
  rows[0].numbers.usual_speed = speed_of(0.5);
  const std::string text = table_text(table, rows, "at 416");
  for (const char* part : {"36.85", "0.50      2.00", "of 7: with as many objects above the threshold"}) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
  const nlohmann::ordered_json json = table_json(table, rows[0]);
  CHECK(json["images_per_second"] == 0.5);
  CHECK(json["usual_speed"]["images_per_second"] == 2);
  CHECK(json["usual_objects"] == 7);
}

TEST_CASE("table: our times of a network's parts stand below the published ones, with their shares") {
  const PublishedLatencies published = published_latencies("sparseinst");
  Speed ours = speed_of(0.1);
  const auto part = [](const char* name, double seconds) { return Speed::Part{name, {seconds, seconds, seconds}}; };
  ours.parts = {part("backbone", 0.05), part("encoder", 0.01), part("decoder", 0.03), part("post-processing", 0.01)};
  const std::string text = latency_text(published, {ours, ours});
  for (const char* expected : {"512, published          10.0 (54.3 %)", "512, ours               50.0 (50.0 %)",
                               "30.0 (30.0 %)", "640, published          13.3 (55.6 %)"}) {
    CAPTURE(expected);
    CHECK(text.find(expected) != std::string::npos);
  }
  CHECK(latency_json(published, {ours, ours})[1]["speed"]["parts"]["encoder"]["median"] == 10);
  CHECK_ERROR(published_latencies("effseg"), "nobody published how long the modules of effseg take");
  CHECK_ERROR(published_latencies("yolo"), "there is no table \"yolo\"");
}

}  // namespace tessera
