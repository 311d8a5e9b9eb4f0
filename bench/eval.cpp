// The evaluators on files of the size of COCO val2017 and of a detector that reports everything: 5,000 images with
// 36,781 objects of 80 categories, some 725,000 detections. bench/pycocotools_peer.py times the official tool on the
// same files.
#include <fmt/core.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "bench/bench.h"
#include "data/coco.h"
#include "data/parallel.h"
#include "data/rasterise.h"
#include "eval/score.h"
#include "tensor/error.h"
#include "tensor/random.h"

namespace tessera::bench {
namespace {

constexpr i64 kImages = 5000, kObjects = 36781, kDetections = 145;  // the last per image
constexpr i64 kClasses = 80, kCorners = 32;

// A blob: the outline x = cx + r(angle) * cos(angle) * stretch and so on, with a wavy radius.
struct Blob {
  double x, y, radius, stretch;
  std::array<double, 6> waves;

  std::vector<double> outline() const {
    std::vector<double> xy;
    for (i64 i = 0; i < kCorners; ++i) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(i) / kCorners;
      double r = radius;
      for (size_t w = 0; w < 3; ++w) r += radius * 0.15 * waves[w] * std::sin(double(w + 2) * angle + 6 * waves[w + 3]);
      for (const double v : {x + r * stretch * std::cos(angle), y + r / stretch * std::sin(angle)})
        xy.push_back(std::round(v * 100) / 100);
    }
    return xy;
  }
};

Blob random_blob(Random& random, double width, double height) {
  Blob blob{random.uniform(0, width),
            random.uniform(0, height),
            std::exp(random.uniform(std::log(5.0), std::log(160.0))),
            random.uniform(0.7, 1.4),
            {}};
  for (double& wave : blob.waves) wave = random.uniform();
  return blob;
}

Blob moved(Blob blob, Random& random, double by) {
  blob.x += by * blob.radius * random.normal();
  blob.y += by * blob.radius * random.normal();
  blob.radius *= std::exp(by * random.normal());
  for (double& wave : blob.waves) wave += by * random.normal();
  return blob;
}

i64 random_class(Random& random) {  // a few categories are frequent, most are not
  return 1 + static_cast<i64>(kClasses * std::pow(random.uniform(), 2.5));
}

struct Picture {
  std::vector<CocoAnnotation> objects;
  std::vector<Detection> found;
};

Picture make_picture(const CocoImage& image, i64 objects) {
  Random random(11, static_cast<u64>(image.id));
  const double width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  Picture picture;
  std::vector<Blob> blobs;
  while (static_cast<i64>(picture.objects.size()) < objects) {
    const Blob blob = random_blob(random, width, height);
    const std::vector<std::vector<double>> parts = {blob.outline()};
    const Rle mask = rasterise_polygons(parts, image.height, image.width);
    const i64 area = rle_area(mask);
    if (area == 0) continue;
    CocoAnnotation& object = picture.objects.emplace_back();
    object.image_id = image.id;
    object.category_id = random_class(random);
    object.bbox = rle_bbox(mask);
    object.area = static_cast<double>(area);
    object.iscrowd = random.chance(0.012);  // crowds are given as runs, other objects as polygons
    if (object.iscrowd)
      object.segmentation = mask;
    else
      object.segmentation = parts;
    blobs.push_back(blob);
  }
  for (i64 i = 0; i < kDetections; ++i) {
    const bool near = random.chance(0.4) && !blobs.empty();
    const size_t of = near ? static_cast<size_t>(random.integer(0, objects - 1)) : 0;
    const Blob blob = near ? moved(blobs[of], random, 0.12) : random_blob(random, width, height);
    Rle mask = rasterise_polygon(blob.outline(), image.height, image.width);
    const i64 cls = near && random.chance(0.85) ? picture.objects[of].category_id : random_class(random);
    const double score = near ? std::sqrt(random.uniform()) : std::pow(random.uniform(), 3);
    XywhBox box = rle_bbox(mask);
    for (double& v : box) v += random.uniform(-0.4, 0.4);
    picture.found.push_back({image.id, cls, score, box, std::move(mask)});
  }
  return picture;
}

void make_files(const std::filesystem::path& truth, const std::filesystem::path& segm,
                const std::filesystem::path& bbox) {
  CocoDataset dataset;
  for (i64 c = 1; c <= kClasses; ++c) dataset.categories.push_back({c, fmt::format("class {}", c)});
  for (i64 i = 0; i < kImages; ++i) {
    const bool upright = i % 4 == 0;
    dataset.images.push_back({i + 1, fmt::format("{:012}.jpg", i + 1), upright ? 640 : 480, upright ? 480 : 640});
  }
  std::vector<Picture> pictures(kImages);
  parallel_for(kImages, [&](i64 i) {
    const i64 objects = kObjects * (i + 1) / kImages - kObjects * i / kImages;
    pictures[i] = make_picture(dataset.images[i], objects);
  });
  std::vector<Detection> found;
  for (Picture& picture : pictures) {
    for (CocoAnnotation& object : picture.objects) {
      object.id = static_cast<i64>(dataset.annotations.size()) + 1;
      dataset.annotations.push_back(std::move(object));
    }
    for (Detection& detection : picture.found) found.push_back(std::move(detection));
  }
  save_coco(truth, dataset);
  std::vector<Detection> boxes;
  for (Detection& detection : found) {
    boxes.push_back({detection.image_id, detection.category_id, detection.score, detection.bbox, std::nullopt});
    detection.bbox.reset();
  }
  save_results(bbox, boxes);
  save_results(segm, found);
}

double seconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

void evaluators(const std::string& folder_name, const std::string& filter) {
  const std::filesystem::path folder = folder_name;
  const std::filesystem::path truth = folder / "annotations.json", segm = folder / "segm.json",
                              bbox = folder / "bbox.json";
  if (!std::filesystem::exists(segm)) {  // it is written last
    fmt::print("\nwriting {} ...\n", folder.string());
    std::filesystem::create_directories(folder);
    make_files(truth, segm, bbox);
  }
  const auto megabytes = [](const std::filesystem::path& path) {
    return static_cast<double>(std::filesystem::file_size(path)) / 1e6;
  };
  fmt::print("\n{:<56}{:>10}{:>10}{:>10}\n", "evaluators, from files to figures", "s", "CPU s", "file MB");
  for (const std::string metric : {"coco-bbox", "coco-segm", "boundary-segm"}) {
    if (metric.find(filter) == std::string::npos) continue;
    const std::filesystem::path& results = metric == "coco-bbox" ? bbox : segm;
    double wall = 1e9, cpu = 1e9;
    for (int repeat = 0; repeat < 3; ++repeat) {
      const double start = seconds(CLOCK_MONOTONIC), start_cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
      score_results(metric, {truth, results});
      wall = std::min(wall, seconds(CLOCK_MONOTONIC) - start);
      cpu = std::min(cpu, seconds(CLOCK_PROCESS_CPUTIME_ID) - start_cpu);
    }
    fmt::print("{:<56}{:>10.2f}{:>10.2f}{:>10.0f}\n", metric, wall, cpu, megabytes(results));
  }
}

}  // namespace tessera::bench
