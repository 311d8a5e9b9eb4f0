// The two JSON forms of a run-length mask: {"size": [h, w], "counts": [runs] or "compressed string"}.
#pragma once

#include <optional>

#include "data/json_reader.h"
#include "data/rle.h"

namespace tessera {

// As read, keys in any order; build() makes and checks the mask. The string lives as long as the document. Both reuse
// the memory of the last mask.
class JsonRle {
 public:
  void read(json::Value value);
  void build(Rle& rle) const;
  bool is_empty() const { return size_.empty() && !text_ && !listed_; }  // {}

 private:
  std::vector<i64> size_, counts_;
  std::optional<std::string_view> text_;
  bool listed_ = false;  // the runs are numbers
};

}  // namespace tessera
