// tessera data show: a page of pictures, as annotated or as training sees them.
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

i64 occurrences(const std::string& text, const std::string& part) {
  i64 count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("data show: the page has as many annotated pictures as asked for, other ones by another seed") {
  const TemporaryFolder folder;
  const fs::path shapes = workshop().folder / "shapes", page = folder / "page.html";
  const auto show = [&](const char* count, const char* seed) {
    const Outcome outcome =
        succeeds({"data", "show", "--annotations", (shapes / "instances_train.json").string(), "--images",
                  (shapes / "train").string(), "--count", count, "--seed", seed, "--out", page.string()});
    CHECK(outcome.out.find(std::string(count) + " of 12 pictures, chosen by seed " + seed) != std::string::npos);
    return read_file(page);
  };
  const std::string four = show("4", "0"), others = show("4", "1");
  CHECK(occurrences(four, "<article>") == 4);
  CHECK(occurrences(four, "data:image/jpeg") == 4);
  CHECK(four != others);
  CHECK(occurrences(show("12", "3"), "<article>") == 12);
}

TEST_CASE("data show: with a configuration the pictures are those of the first batches, at their size") {
  const TemporaryFolder folder;
  const fs::path page = folder / "page.html";
  const auto show = [&](const char* flip) {
    succeeds({"data", "show", "--config", workshop().config.string(), "--set",
              std::string("augment.flip_probability=") + flip, "--set", "training.batch_size=2", "--set",
              "augment.shortest=[352]", "--set", "augment.longest=2000", "--count", "3", "--out", page.string()});
    return read_file(page);
  };
  const std::string plain = show("0"), flipped = show("1");
  CHECK(occurrences(plain, "<article>") == 3);
  CHECK(occurrences(plain, "<h4>batch 1: ") == 2);
  CHECK(occurrences(plain, "<h4>batch 2: ") == 1);
  CHECK(plain.find(">462 x 352, of 63 x 48, in a batch of 480 x 352<") != std::string::npos);
  CHECK(plain.find("viewBox=\"0 0 480 352\"") != std::string::npos);  // with what is padded
  CHECK(plain != flipped);
}

TEST_CASE("data show: a picture that cannot be shown is counted and named, the others are there") {
  const TemporaryFolder folder;
  const fs::path shapes = workshop().folder / "shapes", page = folder / "page.html";
  fs::copy(shapes / "train", folder / "train", fs::copy_options::recursive);
  const fs::path damaged = fs::directory_iterator(folder / "train")->path();
  write_file(damaged, "no picture");
  const Outcome outcome = succeeds({"data", "show", "--annotations", (shapes / "instances_train.json").string(),
                                    "--images", (folder / "train").string(), "--out", page.string()});
  CHECK(outcome.out.find("1 of them cannot be shown") != std::string::npos);
  CHECK(occurrences(read_file(page), "<article>") == 11);
  CHECK(read_file(page).find(damaged.filename().string() + ": is neither a JPEG nor a PNG image") != std::string::npos);
}

TEST_CASE("data show: annotations or a configuration, and no output over an input") {
  check_fails({"data", "show", "--out", "page.html"}, 1, "either --annotations and --images, or --config");
  const std::string annotations = (workshop().folder / "shapes/instances_train.json").string();
  check_fails({"data", "show", "--annotations", annotations, "--images", "x", "--out", annotations}, 1,
              "instances_train");
}

}  // namespace tessera
