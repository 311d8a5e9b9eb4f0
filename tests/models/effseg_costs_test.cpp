// Parameters and FLOPs of EffSeg's Tables 3 to 5. The counters are held to a formula at a small size, and the formula
// to the published figures at the full one.
#include <doctest/doctest.h>

#include "data/noise.h"
#include "models/effseg/head.h"
#include "models/model.h"
#include "nn/profile.h"
#include "tests/models/small_rois.h"
#include "tests/models/tiny_effseg.h"

namespace tessera::test {

using namespace effseg;

namespace {

double square(double x) {
  return x * x;
}

// Multiply-adds of a processing module on `cells` cells of width G, and what its normalisation and sampling count.
double processing_work(Processing kind, double cells, double G) {
  switch (kind) {
    case Processing::kSfm:
    case Processing::kDenseSfm:
      return cells * 30 * G * G;  // three linear layers, three convolutions
    case Processing::kConv:
      return cells * ((9 + 8) * G * G + 5 * G);
    case Processing::kDeformConv:
      return cells * ((9 + 8) * G * G + 5 * G + 18 * G + 36 * G);
    case Processing::kMlp:
      return cells * ((1 + 8) * G * G + 5 * G);
  }
  return 0;
}

// The published count of the head on R RoIs, without the enlarging of masks.
double head_work(const HeadConfig& config, double R, double C) {
  const double k = static_cast<double>(config.refinements);
  const bool dense = config.processing == Processing::kDenseSfm;
  const auto branches = [](double cells, double F) { return cells * 2 * (F * F + F); };
  double active = 196 * R, passive = 0, F = C;
  double sum = 4 * active * C + R * square(C);                                   // RoIAlign, query
  sum += active * (3 + 9 * static_cast<double>(config.fcn_layers)) * square(C);  // fusion, FCN
  sum += branches(active, F);
  for (size_t s = 1; s < kStages; ++s, F /= 2) {
    const double n = dense ? active : std::min(active, k), key = config.project_maps ? F : C;
    passive += active - n;
    active = 4 * n;
    sum += n * 4 * F * F + active * F * F;                          // children
    sum += active * (4 * key + (config.project_maps ? C * F : 0));  // maps
    sum += active * ((F + key) * F + F * F);                        // fusion with them
    sum += (active + passive) * F * F / 2;                          // transition
    sum += processing_work(config.processing, active, F / 2) + branches(active, F / 2);
  }
  return sum;
}

double enlarging_work(double R) {
  return 4 * R * (28 * 28 + 56 * 56 + 112 * 112);
}

double giga_of(const HeadConfig& config, double R) {
  return head_work(config, R, 256) / 1e9;
}

HeadConfig with(Processing processing) {
  return {.processing = processing, .project_maps = processing == Processing::kDenseSfm};
}

// Detectors count as they are told here how much they find.
double detection_work(Segmenter& model, ImageSize size, const Segmenter::Found& found) {
  model.eval();
  model.given = found;
  const Batch batch = make_batch(noise_samples(1, size, 1, 3));
  return static_cast<double>(nn::profile(model, [&] { model.detect(batch); }).front().work.published);
}

}  // namespace

TEST_CASE("effseg: the work of the head is that of its layers on the cells that are active") {
  const i64 C = 32, R = 5;
  for (const auto& [name, processing] : names_of(Processing{})) {
    for (const i64 k : {150, 400, 100'000}) {
      CAPTURE(name);
      CAPTURE(k);
      HeadConfig config = with(processing);
      config.refinements = k;
      config.fcn_layers = 1;
      Random random(3);
      EffSegHead head(config, C, random);
      const SmallRois s = small_rois(R, C, 1);
      const Work work = nn::profile(head, [&] { head.probabilities(s.maps, s.rois, s.padded); }).front().work;
      CHECK(static_cast<double>(work.published) == head_work(config, R, C) + enlarging_work(R));
    }
  }
}

TEST_CASE("effseg: at the counts that explain the paper's tables the heads' GFLOPs are published ones within 1 %") {
  // Table 4's with the pasting of 60 masks; of Table 5 what is left of a row without the detector's 165.1.
  const double pasting = (enlarging_work(60) + 4.0 * 60 * 800 * 1116) / 1e9;
  CHECK(giga_of({}, 60) + pasting == doctest::Approx(80.3).epsilon(0.01));
  CHECK(giga_of(with(Processing::kConv), 60) + pasting == doctest::Approx(68.9).epsilon(0.01));
  CHECK(giga_of(with(Processing::kDeformConv), 60) + pasting == doctest::Approx(69.9).epsilon(0.01));
  CHECK(giga_of(with(Processing::kMlp), 60) + pasting == doctest::Approx(62.2).epsilon(0.01));
  CHECK(giga_of(with(Processing::kDenseSfm), 58) == doctest::Approx(172.2).epsilon(0.01));
}

TEST_CASE("effseg: a picture of the tables' mean size costs the detector 165.1 GFLOPs with the FPN, within 1 %") {
  // Everything but the 300 queries grows with the pixels: two small pictures tell both parts.
  Config config;
  Random random(1);
  EffSeg model(config, random);
  const Segmenter::Found found{.objects = 1, .queries = 1};
  const double small = detection_work(model, {128, 128}, found), large = detection_work(model, {128, 256}, found);
  const double per_pixel = (large - small) / (128 * 128), fixed = small - per_pixel * 128 * 128;
  const double head = head_work(config.head.effseg, 1, 256) + enlarging_work(1);
  const double detector = (per_pixel * 800 * 1116 + fixed - head) / 1e9;
  CHECK(detector == doctest::Approx(165.1).epsilon(0.01));
}

TEST_CASE(
    "effseg: the work of a detection is that of as many objects and queries as are given, each head counting its") {
  const ImageSize size{64, 96};
  for (const auto& [name, kind] : names_of(HeadKind{})) {
    CAPTURE(name);
    const auto model = tiny_effseg(tiny_effseg_config(kind));
    const auto work = [&](i64 objects, i64 queries) { return detection_work(*model, size, {objects, queries}); };
    const bool by_query = kind == HeadKind::kEffSeg;
    CHECK((work(6, 4) == work(4, 4)) == by_query);
    CHECK((work(6, 4) == work(6, 3)) == !by_query);
    CHECK(std::ssize(model->detect(make_batch(noise_samples(1, size, 1, 3))).at(0)) == 6);
  }
}

TEST_CASE(
    "published tables: Table 3 has twelve rows, Table 4 their heads alone, and the parameters are ours, rounded") {
  const std::vector<PublishedTable> tables = published_tables("effseg");
  REQUIRE(tables.size() == 5);
  CHECK(tables[0].models.size() == 12);
  CHECK(tables[1].part == "heads.gvd.heads.2");
  CHECK(tables[2].models.size() == 5);
  for (const PublishedModel& row : tables[4].models) CHECK(row.pq > 45);  // the panoptic ones
  for (const PublishedModel& row : tables[2].models) {
    CAPTURE(row.config);
    const std::string module = row.config.substr(std::string("effseg_r50_fpn").size());
    HeadConfig head;
    for (const auto& [name, processing] : names_of(Processing{}))
      if (module == std::string("_") + name) head = with(processing);
    Random random(1);
    EffSegHead made(head, 256, random);
    const double detector = 38.810 - 4.209;  // millions
    CHECK(std::abs(detector + static_cast<double>(nn::count_parameters(made)) / 1e6 - row.parameters) < 0.0501);
  }
}

}  // namespace tessera::test
