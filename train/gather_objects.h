// The objects that several processes found in their shares of the pictures, put together again.
#pragma once

#include <vector>

#include "data/coco.h"
#include "train/communicator.h"

namespace tessera {

struct FoundObject {
  Detection detection;
  double box_score = 0;  // by which its box is ranked among boxes
  bool operator==(const FoundObject&) const = default;
};
using ObjectsOfBatch = std::vector<FoundObject>;

// mine: of the batches that this rank has, every size-th. Gives those of all batches, in order.
std::vector<ObjectsOfBatch> gather_objects(std::vector<ObjectsOfBatch> mine, Communicator& communicator);

}  // namespace tessera
