// tessera report on whatever a run has left so far.
#include "tests/cli/program.h"

namespace tessera::test {

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct Report {
  Outcome outcome;
  std::string page;
};
Report report_on(const fs::path& folder) {
  const Outcome outcome = run({"report", folder.string()});
  INFO("stderr: ", outcome.err);
  REQUIRE(outcome.code == 0);
  return {outcome, read_file(folder / "report.html")};
}

std::string step_line(i64 step, const std::string& loss) {
  return fmt::format(R"({{"event":"step","step":{0},"loss":{1},"losses":{{"loss_ce":{1}}},"lr":1e-3,"grad_norm":2,)"
                     R"("ms":5,"images_per_s":3,"memory_mb":7}})"
                     "\n",
                     step, loss);
}

}  // namespace

TEST_CASE(
    "report: a run before its first checkpoint has curves and its configuration, and the page says why no samples") {
  const TemporaryFolder folder;
  write_file(folder / "log.jsonl", step_line(1, "4.5") + step_line(2, "4.25"));
  write_file(folder / "config.toml", "[model]\nname = \"sparseinst\"\n");
  write_file(folder / "checkpoint-00000003.safetensors.partial", "half a checkpoint");
  const Report report = report_on(folder.path());
  for (const char* part : {"<p>2 steps.</p>", ">loss</text>", ">loss_ce</text>", "was not evaluated yet",
                           "No samples: ", "holds no checkpoint", "name = &quot;sparseinst&quot;"}) {
    CAPTURE(part);
    CHECK(contains(report.page, part));
  }
  CHECK(contains(report.outcome.out, "no samples: "));
}

TEST_CASE("report: half a line, an unknown event and numbers that are not finite are passed over and counted") {
  const TemporaryFolder folder;
  write_file(folder / "log.jsonl",
             step_line(1, "4.5") + "{\"event\":\"nap\",\"step\":1,\"minutes\":20}\n" + step_line(2, "null") +
                 step_line(3, "NaN") + "\n[1]\nnot json\n" +
                 "{\"event\":\"eval\",\"step\":4,\"segm\":{\"AP\":0.125,\"AP50\":null},\"seconds\":1}\n" +
                 step_line(5, "4.0").substr(0, 40));
  const Report report = report_on(folder.path());
  for (const char* part : {"4 steps; 6 lines of the log, cut off or unknown", "; 3 numbers, missing or not finite",
                           "<td>0.125</td>", "No configuration: "}) {
    CAPTURE(part);
    CHECK(contains(report.page, part));
  }
  CHECK(contains(report.outcome.out, "6 lines of the log"));
}

TEST_CASE("report: an empty log, or none, makes a page of what else is there; a folder that holds no run is an error") {
  const TemporaryFolder folder;
  check_fails({"report", (folder / "absent").string()}, 1, "absent: is no folder");
  check_fails({"report", folder.path().string()}, 1, "holds no run");
  write_file(folder / "config.toml", "[model]\n");
  CHECK(contains(report_on(folder.path()).page, "<p>0 steps.</p>"));
  write_file(folder / "log.jsonl", "");
  CHECK(contains(report_on(folder.path()).page, "<p>0 steps.</p>"));
  fs::remove(folder / "config.toml");
  CHECK(contains(report_on(folder.path()).page, "No configuration: "));
}

TEST_CASE("report: a configuration that is cut off is shown, and said to be no whole one") {
  const TemporaryFolder folder;
  write_file(folder / "log.jsonl", step_line(1, "4.5"));
  write_file(folder / "config.toml", "[model]\nname = \"sparseinst\"\n");
  const Report cut = report_on(folder.path());
  CHECK(contains(cut.outcome.out, "config.toml is not as a run writes it"));
  CHECK(contains(cut.page, "<p>config.toml is not as a run writes it"));
}

TEST_CASE("report: a damaged checkpoint or a picture that is gone leaves the rest of the page whole") {
  const Workshop& w = workshop();
  const Outcome trained = run(w.train("reported", {"--set", "training.steps=2", "--set", "evaluation.every=2"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  const fs::path folder = w.folder / "reported", pictures = w.folder / "shapes" / "val";
  const Report whole = report_on(folder);
  CHECK(contains(whole.page, "<img"));
  CHECK(contains(whole.page, "<td>"));

  const fs::path picture = fs::directory_iterator(pictures)->path(), away = w.folder / "away";
  fs::rename(picture, away);
  const Report without = report_on(folder);
  fs::rename(away, picture);
  CHECK(contains(without.page, "<img"));
  CHECK(contains(without.page, "No " + picture.filename().string()));

  fs::remove(folder / "log.jsonl");
  CHECK(contains(report_on(folder).page, "<img"));
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors") write_file(entry.path(), read_file(entry.path()).substr(0, 1000));
  const Report damaged = report_on(folder);
  CHECK(contains(damaged.page, "No samples: "));
  CHECK(contains(damaged.page, "num_masks = 8"));
  fs::remove(folder / "config.toml");
  CHECK(contains(report_on(folder).page, "No configuration: "));
}

}  // namespace tessera::test
