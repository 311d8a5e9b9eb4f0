#include "train/gather_objects.h"

#include <cstring>
#include <type_traits>
#include <utility>

namespace tessera {

namespace {

// What has a fixed size; the runs of the mask follow.
struct Record {
  i64 image_id = 0, category_id = 0;
  double score = 0, box_score = 0;
  XywhBox box = {};
  i64 has_box = 0, has_mask = 0, height = 0, width = 0, runs = 0;
};

template <class T>
void put(std::string& bytes, const T* values, size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (count > 0) bytes.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

template <class T>
void take(std::string_view& bytes, T* values, size_t count) {
  if (count > 0) std::memcpy(values, bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

std::string pack(const std::vector<ObjectsOfBatch>& batches) {
  std::string bytes;
  for (const ObjectsOfBatch& batch : batches) {
    const u64 count = batch.size();
    put(bytes, &count, 1);
    for (const auto& [detection, box_score] : batch) {
      const Rle mask = detection.segmentation.value_or(Rle());
      const Record record{.image_id = detection.image_id,
                          .category_id = detection.category_id,
                          .score = detection.score,
                          .box_score = box_score,
                          .box = detection.bbox.value_or(XywhBox()),
                          .has_box = detection.bbox.has_value(),
                          .has_mask = detection.segmentation.has_value(),
                          .height = mask.height,
                          .width = mask.width,
                          .runs = std::ssize(mask.counts)};
      put(bytes, &record, 1);
      put(bytes, mask.counts.data(), mask.counts.size());
    }
  }
  return bytes;
}

ObjectsOfBatch take_batch(std::string_view& bytes) {
  u64 count = 0;
  take(bytes, &count, 1);
  ObjectsOfBatch objects(count);
  for (auto& [detection, box_score] : objects) {
    Record record;
    take(bytes, &record, 1);
    Rle mask{record.height, record.width, std::vector<u32>(static_cast<size_t>(record.runs))};
    take(bytes, mask.counts.data(), mask.counts.size());
    detection.image_id = record.image_id, detection.category_id = record.category_id;
    detection.score = record.score;
    if (record.has_box) detection.bbox = record.box;
    if (record.has_mask) detection.segmentation = std::move(mask);
    box_score = record.box_score;
  }
  return objects;
}

}  // namespace

std::vector<ObjectsOfBatch> gather_objects(std::vector<ObjectsOfBatch> mine, Communicator& communicator) {
  if (communicator.size() == 1) return mine;
  const std::vector<std::string> all = communicator.gather(pack(mine));
  std::vector<std::string_view> rest(all.begin(), all.end());
  std::vector<ObjectsOfBatch> batches;
  for (size_t rank = 0; !rest[rank].empty(); rank = (rank + 1) % rest.size()) batches.push_back(take_batch(rest[rank]));
  return batches;
}

}  // namespace tessera
