#include "tensor/safetensors.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "tensor/file.h"
#include "tensor/stored.h"

namespace tessera {

namespace {

constexpr size_t kMaxHeader = 100 << 20;  // as the reference implementation

struct Name {
  const char* text;
  StoredType type;
  DType dtype;  // ours
};
constexpr Name kNames[] = {
    {"F32", StoredType::kF32, DType::kF32}, {"F64", StoredType::kF64, DType::kF64},
    {"F16", StoredType::kF16, DType::kF16}, {"BF16", StoredType::kBF16, DType::kBF16},
    {"I64", StoredType::kI64, DType::kI64}, {"I32", StoredType::kI32, DType::kI32},
    {"U8", StoredType::kU8, DType::kU8},    {"BOOL", StoredType::kBool, DType::kBool},
    {"I16", StoredType::kI16, DType::kI32}, {"I8", StoredType::kI8, DType::kI32},  // widened, read only
    {"U32", StoredType::kU32, DType::kI64}, {"U16", StoredType::kU16, DType::kI32},
};

std::optional<StoredType> type_from(std::string_view text) {
  for (const Name& name : kNames)
    if (text == name.text) return name.type;
  return std::nullopt;
}

const char* text_of(DType dtype) {
  return std::find_if(std::begin(kNames), std::end(kNames), [&](const Name& name) { return name.dtype == dtype; })
      ->text;
}

struct Entry {
  std::string name;
  StoredType type;
  Shape shape;
  u64 begin, end;
};

// What the header, before data_size bytes of data, says of one tensor.
Entry read_entry(const std::string& where, std::string_view key, const simdjson::dom::element& value,
                 size_t data_size) {
  Entry entry;
  entry.name = std::string(key);
  const std::string_view dtype = value["dtype"];
  const std::optional<StoredType> known = type_from(dtype);
  TESSERA_CHECK(known, "{}: tensor {} has dtype {}, known are F32 F64 F16 BF16 I64 I32 I16 I8 U32 U16 U8 BOOL", where,
                entry.name, dtype);
  entry.type = *known;
  for (u64 size : simdjson::dom::array(value["shape"])) {
    TESSERA_CHECK(size <= static_cast<u64>(INT64_MAX), "{}: tensor {} has a dimension of {}", where, entry.name, size);
    entry.shape.append(static_cast<i64>(size));
  }
  simdjson::dom::array offsets = value["data_offsets"];
  TESSERA_CHECK(offsets.size() == 2, "{}: tensor {} needs two data_offsets", where, entry.name);
  entry.begin = offsets.at(0);
  entry.end = offsets.at(1);
  size_t bytes = 0;
  TESSERA_CHECK(!__builtin_mul_overflow(static_cast<size_t>(entry.shape.numel()), size_of(entry.type), &bytes) &&
                    entry.begin <= entry.end && entry.end <= data_size && entry.end - entry.begin == bytes,
                "{}: tensor {} {} {} does not fit bytes [{}, {}) of {}; the file is damaged or truncated", where,
                entry.name, dtype, entry.shape, entry.begin, entry.end, data_size);
  return entry;
}

}  // namespace

SafeTensors SafeTensors::open(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::string where = path.string();
  TESSERA_CHECK(file->size() >= 8, "{}: not a safetensors file: {} bytes, at least 8 are needed", where, file->size());
  u64 header_size = 0;
  std::memcpy(&header_size, file->data(), 8);
  TESSERA_CHECK(header_size <= kMaxHeader && header_size <= file->size() - 8,
                "{}: not a safetensors file, or truncated: the header claims {} bytes, the file has {}", where,
                header_size, file->size());
  const size_t data_size = file->size() - 8 - header_size;

  SafeTensors result;
  result.path_ = path;
  std::vector<Entry> entries;
  try {
    simdjson::dom::parser parser;
    const simdjson::dom::object header = parser.parse(simdjson::padded_string(file->data() + 8, header_size));
    for (const auto& [key, value] : header) {
      if (key == "__metadata__") {
        for (const auto& [name, text] : value.get_object())
          result.metadata_.emplace(std::string(name), std::string(std::string_view(text)));
        continue;
      }
      entries.push_back(read_entry(where, key, value, data_size));
    }
  } catch (const simdjson::simdjson_error& error) {
    fail("{}: damaged safetensors header: {}", where, error.what());
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.name) < std::tie(b.begin, b.name); });
  StoredReader reader({file->data(), file->size()}, file);
  for (Entry& entry : entries) {
    const std::string_view bytes(file->data() + 8 + header_size + entry.begin, entry.end - entry.begin);
    Tensor tensor = reader.read({entry.type, false, bytes, 0, contiguous_strides(entry.shape), entry.shape},
                                fmt::format("{}: tensor {}", where, entry.name));
    TESSERA_CHECK(result.index_.emplace(entry.name, result.tensors_.size()).second, "{}: tensor {} occurs twice", where,
                  entry.name);
    result.tensors_.push_back({std::move(entry.name), std::move(tensor)});
  }
  return result;
}

const Tensor& SafeTensors::operator[](const std::string& name) const {
  const auto found = index_.find(name);
  TESSERA_CHECK(found != index_.end(), "{}: no tensor named {}", path_.string(), name);
  return tensors_[found->second].tensor;
}

void save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  u64 at = 0;
  for (const NamedTensor& entry : tensors) {
    TESSERA_CHECK(!header.contains(entry.name), "{}: tensor {} would be written twice", path.string(), entry.name);
    const Shape& shape = entry.tensor.shape();
    header[entry.name] = {{"dtype", text_of(entry.tensor.dtype())},
                          {"shape", std::vector<i64>(shape.begin(), shape.end())},
                          {"data_offsets", {at, at + entry.tensor.bytes()}}};
    at += entry.tensor.bytes();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const u64 size = text.size();

  AtomicFile file(path);
  file.write(&size, 8);
  file.write(text.data(), text.size());
  for (const NamedTensor& entry : tensors) file.write(entry.tensor.to_host().raw(), entry.tensor.bytes());
  file.commit();
}

}  // namespace tessera
