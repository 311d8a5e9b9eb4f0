// Event files: the curves of a run for TensorBoard, `tensorboard --logdir FOLDER`.
//
// A file is a sequence of records, whose numbers are little-endian (TensorFlow,
// tensorflow/core/lib/io/record_writer.h):
//
//   u64 length, u32 masked(crc32c(length)), data[length], u32 masked(crc32c(data))
//   masked(c) = (c >> 15 | c << 17) + 0xa282ead8                                 (tensorflow/core/lib/hash/crc32c.h)
//
// The data of each is a protobuf message (tensorboard/compat/proto/event.proto, summary.proto), of which we use
//
//   Event      { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
//                SessionLog session_log = 7; }
//   Summary    { repeated Value value = 1; }     Value { string tag = 1; float simple_value = 2; }
//   SessionLog { enum status = 1; }              START = 1: what other files say of this step and later ones is void
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/dtype.h"
#include "train/append_file.h"

namespace tessera {

class EventFile {
 public:
  // A new file in `folder`, made with the first scalars. What the folder's other files have of later steps than `step`,
  // from which the run continues, TensorBoard drops.
  EventFile(const std::filesystem::path& folder, i64 step);

  // The scalars of a step, by tag; tags with the same part before a slash make a group.
  void add(i64 step, const std::vector<std::pair<std::string, double>>& scalars);
  // As AppendFile's: an error leaves whole records behind, and the others are written next time.
  void flush() { file_.flush(); }
  void sync() { file_.sync(); }

 private:
  AppendFile file_;
  std::string opening_;  // the records that precede the first scalars
};

// The event files in a folder.
std::vector<std::filesystem::path> event_files(const std::filesystem::path& folder);

// CRC-32C (Castagnoli), as RFC 3720 has it: polynomial 0x1EDC6F41, bits reflected, inverted before and after.
u32 crc32c(std::string_view bytes);

}  // namespace tessera
