#include "train/event_file.h"

#include <unistd.h>

#include <bit>
#include <chrono>

#include "tensor/error.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "events.out.tfevents.";

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

template <class Unsigned>
std::string little_endian(Unsigned value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

// Protobuf. A field is varint(number << 3 | type) and the value; a varint has seven bits per byte, the low ones first,
// and the high bit of all bytes but the last is set.
std::string varint(u64 value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string field(u64 number, i64 value) {
  return varint(number << 3 | 0) + varint(static_cast<u64>(value));
}
std::string field(u64 number, double value) {
  return varint(number << 3 | 1) + little_endian(std::bit_cast<u64>(value));
}
std::string field(u64 number, const std::string& value) {  // or a message
  return varint(number << 3 | 2) + varint(value.size()) + value;
}
std::string field(u64 number, float value) {
  return varint(number << 3 | 5) + little_endian(std::bit_cast<u32>(value));
}

std::string record(const std::string& data) {
  const auto masked_crc = [](const std::string& bytes) {
    return little_endian<u32>(std::rotr(crc32c(bytes), 15) + 0xa282ead8);
  };
  const std::string length = little_endian<u64>(data.size());
  return length + masked_crc(length) + data + masked_crc(data);
}

std::string event(i64 step, const std::string& content) {
  return record(field(1, seconds_since_1970()) + field(2, step) + content);
}

// TensorBoard reads the files of a folder in the order of their names: by time, and each run has its own.
fs::path new_file(const fs::path& folder) {
  char host[256] = {};
  if (gethostname(host, sizeof host - 1) != 0) host[0] = 0;
  const auto named = [&](i64 time) { return folder / fmt::format("{}{}.{}", kPrefix, time, host); };
  i64 time = static_cast<i64>(seconds_since_1970());
  while (fs::exists(named(time))) ++time;
  return named(time);
}

}  // namespace

EventFile::EventFile(const fs::path& folder, i64 step) : file_(new_file(folder)) {
  constexpr i64 kStart = 1;
  opening_ = event(0, field(3, std::string("brain.Event:2"))) + event(step + 1, field(7, field(1, kStart)));
}

void EventFile::add(i64 step, const std::vector<std::pair<std::string, double>>& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) summary += field(1, field(1, tag) + field(2, static_cast<float>(value)));
  file_.add(std::exchange(opening_, "") + event(step, field(5, summary)));
}

std::vector<fs::path> event_files(const fs::path& folder) {
  std::vector<fs::path> files;
  if (fs::is_directory(folder))
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      if (entry.path().filename().string().starts_with(kPrefix)) files.push_back(entry.path());
  return files;
}

u32 crc32c(std::string_view bytes) {
  u32 crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<u8>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
  }
  return ~crc;
}

}  // namespace tessera
