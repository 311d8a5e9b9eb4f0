#include "data/dataset_statistics.h"

#include <doctest/doctest.h>

#include <numeric>

namespace tessera {
namespace {

CocoAnnotation object(i64 id, i64 image, i64 category, XywhBox box, std::optional<double> area, bool crowd = false) {
  return {.id = id,
          .image_id = image,
          .category_id = category,
          .bbox = box,
          .area = area,
          .iscrowd = crowd,
          .segmentation = {}};
}

CocoDataset set_of(std::vector<CocoAnnotation> annotations) {
  CocoDataset dataset;
  dataset.categories = {{1, "cat"}, {2, "dog"}};
  dataset.images = {{1, "a.png", 160, 320}, {2, "b.png", 160, 160}, {3, "c.png", 160, 160}};
  dataset.annotations = std::move(annotations);
  index_coco(dataset);
  return dataset;
}

TEST_CASE("dataset statistics: classes, sizes, shapes and places are counted, crowds and what has no place are not") {
  CocoAnnotation masked = object(6, 2, 1, {}, std::nullopt);
  masked.bbox.reset();
  masked.segmentation = Polygons{{0, 0, 10, 0, 10, 40, 0, 40}};
  CocoAnnotation nowhere = object(7, 2, 1, {}, std::nullopt);
  nowhere.bbox.reset();
  DatasetStatistics found;
  found.add(set_of({object(1, 1, 1, {0, 0, 20, 10}, 1024.0), object(2, 1, 1, {300, 150, 20, 10}, 1025.0),
                    object(3, 1, 2, {0, 0, 100, 100}, 9217.0), object(4, 1, 2, {0, 0, 300, 100}, 20000.0, true),
                    object(5, 2, 2, {80, 80, 0, 0}, 5.0), masked, nowhere}));
  CHECK(found.pictures == 3);
  CHECK(found.empty == 1);
  CHECK(found.objects == 6);
  CHECK(found.crowds == 1);
  CHECK(found.unplaced == 2);  // an empty box, and nothing at all
  CHECK(found.classes[0].objects == 4);
  CHECK(found.classes[0].pictures == 2);
  CHECK(found.classes[1].objects == 2);
  CHECK(found.sizes == std::array<i64, 3>{2, 1, 1});
  CHECK(found.objects_of == std::vector<i64>{3, 3, 0});
  CHECK(found.per_picture.counts[3] == 2);
  CHECK(found.per_picture.bin(3) == "3");
  CHECK(found.per_picture.bin(5) == "5 to 9");
  CHECK(found.sides.bin(2) == "16 to 24");
  CHECK(found.sides.bin(12) == "512 on");
  CHECK(found.sides.counts[2] == 1);  // the mask, 400 pixels
  CHECK(found.sides.counts[4] == 2);  // 1024 and 1025
  CHECK(found.aspects.counts == std::vector<i64>{0, 1, 0, 0, 1, 0, 2, 0});
  CHECK(found.centres[0] == 1);
  CHECK(found.centres[255] == 1);
  CHECK(std::accumulate(found.centres.begin(), found.centres.end(), i64{0}) == 4);
}

TEST_CASE("dataset statistics: sets add up, classes by their names, and pictures above a limit are counted") {
  DatasetStatistics found;
  CocoDataset other = set_of({object(1, 1, 1, {0, 0, 20, 10}, 200.0)});
  other.categories[0].name = "dog", other.categories[1].name = "bird";
  found.add(set_of({object(1, 1, 2, {0, 0, 20, 10}, 200.0), object(2, 1, 2, {0, 0, 20, 10}, 200.0)}));
  found.add(other);
  REQUIRE(found.classes.size() == 3);
  CHECK(found.classes[1].name == "dog");
  CHECK(found.classes[1].objects == 3);
  CHECK(found.classes[1].pictures == 2);
  CHECK(found.above(2).pictures == 0);
  CHECK(found.above(1).pictures == 1);
  CHECK(found.above(1).objects == 1);
  CHECK(found.above(0).objects == 3);
}

}  // namespace
}  // namespace tessera
