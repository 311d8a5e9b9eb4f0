// The published figures of a family's models: what `tessera table` prints beside ours.
#pragma once

#include <string>
#include <vector>

namespace tessera {

constexpr double kNotPublished = -1;

struct PublishedModel {
  std::string config;  // the last part of its configuration's name
  // AP in percent, and images per second.
  double ap_val = kNotPublished, ap = kNotPublished, ap50 = kNotPublished, ap75 = kNotPublished, aps = kNotPublished,
         apm = kNotPublished, apl = kNotPublished, fps = kNotPublished;
};

struct PublishedTable {
  std::vector<PublishedModel> models;  // in the paper's order
  std::string measured;                // on which data and machine
};

}  // namespace tessera
