// The published figures of a family's models: what `tessera table` prints beside ours.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/segmenter.h"

namespace tessera {

constexpr double kNotPublished = -1;

struct PublishedModel {
  std::string config;  // the last part of its configuration's name
  // AP in percent, and images per second.
  double ap_val = kNotPublished, ap = kNotPublished, ap50 = kNotPublished, ap75 = kNotPublished, aps = kNotPublished,
         apm = kNotPublished, apl = kNotPublished, fps = kNotPublished;
  // With annotations finer than COCO's: AP, Boundary AP. Trained parameters in millions, and 10^9 FLOPs.
  double ap_fine = kNotPublished, apb_fine = kNotPublished, parameters = kNotPublished, flops = kNotPublished;
  double pq = kNotPublished, megabytes = kNotPublished;  // panoptic quality in percent; what the weights take
};

inline constexpr std::array<std::pair<const char*, double PublishedModel::*>, 14> kPublishedColumns = {
    {{"APval", &PublishedModel::ap_val},
     {"AP", &PublishedModel::ap},
     {"AP50", &PublishedModel::ap50},
     {"AP75", &PublishedModel::ap75},
     {"APs", &PublishedModel::aps},
     {"APm", &PublishedModel::apm},
     {"APl", &PublishedModel::apl},
     {"AP*", &PublishedModel::ap_fine},
     {"APB*", &PublishedModel::apb_fine},
     {"PQ", &PublishedModel::pq},
     {"MB", &PublishedModel::megabytes},
     {"params", &PublishedModel::parameters},
     {"GFLOPs", &PublishedModel::flops},
     {"FPS", &PublishedModel::fps}}};

struct PublishedTable {
  std::string title;                        // "Table 3"
  std::vector<PublishedModel> models = {};  // in the paper's order
  std::string measured = {};                // on which data and machine
  std::string part = {};                    // the module that the figures are of; empty: the whole network
  // What the FLOPs are counted at: the network's input, and how much is found in it.
  ImageSize input = {640, 640};
  std::optional<Segmenter::Found> found = {};
  // Where `found` is all that the network can find: what a picture of the data has, for its speed when no more pass the
  // threshold. 0: none is told apart.
  i64 usual_objects = 0;
};

// How long the parts of one network take, in milliseconds, by the shorter side of the picture.
struct PublishedLatencies {
  struct Row {
    i64 shortest;
    std::vector<double> milliseconds;
  };
  std::string title, config, measured;
  std::vector<std::string> parts;  // as measure_speed (cli/measure.h) names them
  std::vector<Row> rows;
};

}  // namespace tessera
