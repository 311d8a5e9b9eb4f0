#include "data/coco_rle.h"

namespace tessera {

void JsonRle::read(json::Value value) {
  size_.clear();
  text_.reset();
  listed_ = false;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "size") {
      size_.clear();
      json::read_integers(field, size_);
    } else if (key == "counts") {
      text_.reset();
      listed_ = field.type() == simdjson::ondemand::json_type::array;
      if (listed_) {
        counts_.clear();
        json::read_integers(field, counts_);
      } else {
        text_ = json::find_string(field);
        TESSERA_CHECK(text_, "runs [...] or their compressed string is expected, not {}", json::in_words(field));
      }
    }
  });
}

void JsonRle::build(Rle& rle) const {
  TESSERA_CHECK(size_.size() == 2, "rle: \"size\" must be [height, width], it has {} numbers", size_.size());
  TESSERA_CHECK(listed_ || text_, "rle: there is no \"counts\"");
  rle.height = size_[0];
  rle.width = size_[1];
  if (text_) return runs_from_string(*text_, rle.height, rle.width, rle.counts);
  rle.counts.clear();
  rle.counts.reserve(counts_.size());
  for (const i64 run : counts_) {
    TESSERA_CHECK(run >= 0 && run <= UINT32_MAX, "rle: a run of {}", run);
    rle.counts.push_back(static_cast<u32>(run));
  }
  check_rle(rle);
}

}  // namespace tessera
