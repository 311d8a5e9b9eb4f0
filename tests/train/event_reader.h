// Event files read back, by the format that train/event_file.h describes. What is not as it says throws.
#pragma once

#include <bit>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/error.h"
#include "tensor/file.h"
#include "train/event_file.h"

namespace tessera::test {

struct ReadEvent {
  i64 step = 0;
  double wall_time = 0;
  std::string version;
  bool start = false;
  std::map<std::string, float> scalars = {};
};

// What is left of a file or a message; each call takes a part from its front.
struct ByteReader {
  std::string_view rest;

  std::string_view bytes(size_t count) {
    TESSERA_CHECK(count <= rest.size(), "the record is cut off");
    const std::string_view taken = rest.substr(0, count);
    rest.remove_prefix(count);
    return taken;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, bytes(sizeof value).data(), sizeof value);
    return value;
  }
  u64 varint() {
    u64 value = 0;
    for (int shift = 0;; shift += 7) {
      const u64 byte = number<u8>();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
  void expect_crc(std::string_view of) {
    const u32 rotated = number<u32>() - 0xa282ead8;
    TESSERA_CHECK(std::rotl(rotated, 15) == crc32c(of), "the checksum is wrong");
  }
};

// Calls read(number, value) for each field of a message, the value being its bytes; of a varint they are decoded.
template <class Read>
void for_each_field(std::string_view message, Read&& read) {
  ByteReader reader{message};
  while (!reader.rest.empty()) {
    const u64 key = reader.varint(), type = key & 7;
    u64 number = 0;
    std::string_view value;
    if (type == 0) {
      number = reader.varint();
      value = {reinterpret_cast<const char*>(&number), sizeof number};
    } else {
      TESSERA_CHECK(type == 1 || type == 2 || type == 5, "an unknown type of field");
      value = reader.bytes(type == 1 ? 8 : type == 5 ? 4 : static_cast<size_t>(reader.varint()));
    }
    read(key >> 3, value);
  }
}

inline ReadEvent read_event(std::string_view data) {
  ReadEvent event;
  const auto as = [](std::string_view value, auto& target) {
    TESSERA_CHECK(value.size() == sizeof target, "a number of another size");
    std::memcpy(&target, value.data(), sizeof target);
  };
  for_each_field(data, [&](u64 field, std::string_view value) {
    if (field == 1) as(value, event.wall_time);
    if (field == 2) as(value, event.step);
    if (field == 3) event.version = value;
    if (field == 7) for_each_field(value, [&](u64, std::string_view status) { event.start = status[0] == 1; });
    if (field == 5)
      for_each_field(value, [&](u64, std::string_view scalar) {
        std::string tag;
        float number = 0;
        for_each_field(scalar, [&](u64 part, std::string_view content) {
          if (part == 1)
            tag = content;
          else
            as(content, number);
        });
        event.scalars[tag] = number;
      });
  });
  return event;
}

inline std::vector<ReadEvent> read_events(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  ByteReader reader{text};
  std::vector<ReadEvent> events;
  while (!reader.rest.empty()) {
    const std::string_view length = reader.bytes(8);
    reader.expect_crc(length);
    const std::string_view data = reader.bytes(static_cast<size_t>(ByteReader{length}.number<u64>()));
    reader.expect_crc(data);
    events.push_back(read_event(data));
  }
  return events;
}

}  // namespace tessera::test
