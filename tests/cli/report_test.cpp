// tessera report on whatever a run has left so far.
#include "tests/cli/program.h"

namespace tessera::test {

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

i64 count(const std::string& text, const std::string& part) {
  i64 found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
  return found;
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

TEST_CASE("report: a damaged checkpoint or a picture that is gone or cut off leaves the rest of the page whole") {
  const Workshop& w = workshop();
  const Outcome trained = run(w.train("reported", {"--set", "training.steps=2", "--set", "evaluation.every=2"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  const fs::path folder = w.folder / "reported", pictures = w.folder / "shapes" / "val";
  const Report whole = report_on(folder);
  CHECK(contains(whole.page, "<image "));
  CHECK(count(whole.page, "data:image/jpeg;base64,") == 4);  // the validation set, each picture once
  CHECK(count(whole.page, "<use href=\"#picture-2\"/>") == 2);
  for (const char* part :
       {"id=\"classes\"", "id=\"confusion\"", "id=\"mistakes\"", "id=\"pictures\"", "class=\"mask\""}) {
    CAPTURE(part);
    CHECK(contains(whole.page, part));
  }
  CHECK(contains(whole.page, "<td>"));

  const fs::path picture = fs::directory_iterator(pictures)->path(), away = w.folder / "away";
  fs::rename(picture, away);
  for (const bool cut_off : {false, true}) {
    if (cut_off) write_file(picture, read_file(away).substr(0, read_file(away).size() - 20));  // its header is whole
    const Report without = report_on(folder);
    CHECK(contains(without.page, "<image "));
    CHECK(contains(without.page, "No " + picture.filename().string()));
  }
  fs::rename(away, picture);

  fs::remove(folder / "log.jsonl");
  CHECK(contains(report_on(folder).page, "<image "));
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors") write_file(entry.path(), read_file(entry.path()).substr(0, 1000));
  const Report damaged = report_on(folder);
  CHECK(contains(damaged.page, "No samples: "));
  CHECK(contains(damaged.page, "num_masks = 8"));
  fs::remove(folder / "config.toml");
  CHECK(contains(report_on(folder).page, "No configuration: "));
}

TEST_CASE("report: a page is one file that asks for nothing, and text of a run cannot break out of it") {
  const TemporaryFolder folder;
  write_file(folder / "log.jsonl", "{\"event\":\"eval\",\"step\":4,\"</script><b>\":{\"AP\":0.125},\"seconds\":1}\n");
  const std::string page = report_on(folder.path()).page;
  CHECK(count(page, "</script><b>") == 0);
  CHECK(count(page, "http") == count(page, "http://www.w3.org/2000/svg"));  // the name of a language
  CHECK(count(page, "<script>") == 1);
  CHECK(contains(page, "<html lang=\"en\">"));
}

TEST_CASE("report: the loss on the validation set is drawn over that of training, which is the same bit for bit") {
  const Workshop& w = workshop();
  const Arguments two{"--set", "training.steps=4", "--set", "evaluation.every=2"};
  Arguments with = two;
  with.insert(with.end(), {"--set", "evaluation.loss=true"});
  succeeds(w.train("plain_loss", two));
  succeeds(w.train("validation_loss", with));
  Arguments plain = w.log("plain_loss"), both = w.log("validation_loss");
  REQUIRE(plain.size() == both.size());
  i64 evaluations = 0;
  for (size_t i = 0; i < both.size(); ++i) {
    nlohmann::ordered_json line = nlohmann::ordered_json::parse(both[i]);
    if (line["event"] == "eval") {
      ++evaluations;
      const nlohmann::ordered_json val = line["val"];
      double sum = 0;
      for (const auto& [name, value] : val.items())
        if (name != "loss") sum += value.get<double>();
      CHECK(val["loss"].get<double>() > 0);
      CHECK(val["loss"].get<double>() == doctest::Approx(sum));
      line.erase("val");
    }
    CHECK(line.dump() == plain[i]);
  }
  CHECK(evaluations == 2);
  const std::string page = report_on(w.folder / "validation_loss").page;
  CHECK(contains(page, ">val loss</text>"));
  CHECK(!contains(report_on(w.folder / "plain_loss").page, ">val loss</text>"));
}

TEST_CASE("report: several runs are compared: curves over each other, options that differ, the same pictures") {
  const Workshop& w = workshop();
  const Arguments two{"--set", "training.steps=2", "--set", "evaluation.every=2"};
  Arguments other = two;
  other.insert(other.end(), {"--set", "optimizer.lr=0.002"});
  succeeds(w.train("compared_a", two));
  succeeds(w.train("compared_b", other));
  const fs::path out = w.folder / "compare.html";
  const Outcome outcome = succeeds(
      {"report", (w.folder / "compared_a").string(), (w.folder / "compared_b").string(), "--out", out.string()});
  const std::string page = read_file(out);
  for (const char* part :
       {"<h1>compared_a, compared_b</h1>", ">optimizer.lr</th><td class=\"text\">0.001</td><td class=\"text\">0.002<",
        "options that differ", "compared_a, score from 0.40", "compared_b, score from 0.40", "segm AP, best"}) {
    CAPTURE(part);
    CHECK(contains(page, part));
  }
  CHECK(!contains(page, ">optimizer.weight_decay<"));
  CHECK(count(page, "data:image/jpeg;base64,") == 4);
  CHECK(count(page, "class=\"found\"") == 8);
  fs::remove(out);
  for (const auto& entry : fs::directory_iterator(w.folder / "compared_b"))
    if (entry.path().extension() == ".safetensors") fs::remove(entry.path());
  CHECK(contains(
      run({"report", (w.folder / "compared_a").string(), (w.folder / "compared_b").string(), "--out", out.string()})
          .out,
      "no pictures of compared_b: "));
  CHECK(count(read_file(out), "class=\"found\"") == 4);
}

TEST_CASE("report: in a browser the page's script runs to its end and draws every chart") {
  fs::path browser;
  for (const char* name : {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"})
    if (fs::exists(name)) browser = name;
  if (browser.empty()) {
    MESSAGE("no Chromium: the script of the pages is not run");
    return;
  }
  const TemporaryFolder folder;
  write_file(folder / "log.jsonl", step_line(1, "4.5") + step_line(2, "4.25"));
  const std::string page = report_on(folder.path()).page;
  const Outcome outcome = run(
      {"--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000",
       "--user-data-dir=" + (folder / "profile").string(), "--dump-dom", "file://" + (folder / "report.html").string()},
      browser.string());
  INFO(outcome.err);
  CHECK(contains(outcome.out, "data-script=\"ran\""));
  CHECK(count(outcome.out, "class=\"curve\"") == 5);  // loss, its term, rate, gradient, speed
}

}  // namespace tessera::test
