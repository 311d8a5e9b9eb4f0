#include "data/coco_rle.h"

namespace tessera {

JsonRle JsonRle::read(json::Value value) {
  JsonRle rle;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "size") {
      rle.size.clear();
      json::read_integers(field, rle.size);
    } else if (key == "counts") {
      rle.counts.reset();
      rle.text.reset();
      if (field.type() == simdjson::ondemand::json_type::array) {
        json::read_integers(field, rle.counts.emplace());
      } else {
        rle.text = json::read_string(field);
      }
    }
  });
  return rle;
}

Rle JsonRle::build() const {
  TESSERA_CHECK(size.size() == 2, "rle: \"size\" must be [height, width], it has {} numbers", size.size());
  TESSERA_CHECK(counts || text, "rle: there is no \"counts\"");
  if (text) return rle_from_string(*text, size[0], size[1]);
  Rle rle{size[0], size[1], {}};
  rle.counts.reserve(counts->size());
  for (const i64 run : *counts) {
    TESSERA_CHECK(run >= 0 && run <= UINT32_MAX, "rle: a run of {}", run);
    rle.counts.push_back(static_cast<u32>(run));
  }
  check_rle(rle);
  return rle;
}

}  // namespace tessera
