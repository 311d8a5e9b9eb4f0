// The two JSON forms of a run-length mask: {"size": [h, w], "counts": [runs] or "compressed string"}.
#pragma once

#include <optional>

#include "data/json_reader.h"
#include "data/rle.h"

namespace tessera {

// As read, keys in any order; build() makes and checks the mask. The string lives as long as the document.
struct JsonRle {
  std::vector<i64> size;
  std::optional<std::vector<i64>> counts;
  std::optional<std::string_view> text;

  static JsonRle read(json::Value value);
  Rle build() const;
};

}  // namespace tessera
