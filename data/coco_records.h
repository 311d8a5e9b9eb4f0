// The entries that COCO's files of instances and of segments have in common.
#pragma once

#include "data/coco.h"
#include "data/json_reader.h"

namespace tessera {

namespace json {

template <class T>
T require(const std::optional<T>& value, const char* key) {
  TESSERA_CHECK(value, "there is no \"{}\"", key);
  return *value;
}

}  // namespace json

CocoImage read_coco_image(json::Value value);
CocoCategory read_coco_category(json::Value value);

}  // namespace tessera
