#include "tensor/weights_file.h"

#include <cstring>
#include <map>

#include "tensor/file.h"
#include "tensor/pickled_tensors.h"
#include "tensor/zip.h"

namespace tessera {

namespace {

using pickle::Pickle;
using pickle::Value;

// The first pickle of the old format: the number 0x1950A86A20F9469CFC6C.
constexpr std::string_view kMagic("\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19", 10);

std::string_view bytes_of(const MappedFile& file) {
  return {file.data(), file.size()};
}

// <name>/data.pkl the pickle, <name>/data/<key> the storages, <name>/byteorder "little" or "big" (since 2.0).
PickledTensors read_zip_format(std::string_view file, StoredReader& reader, const std::string& where) {
  constexpr std::string_view kPickle = "data.pkl";
  std::map<std::string_view, std::string_view> entries;
  std::string prefix;
  bool found = false;
  for (const ZipEntry& entry : read_zip(file, where)) {
    TESSERA_CHECK(entries.emplace(entry.name, entry.bytes).second, "{}: damaged zip archive: an entry occurs twice",
                  where);
    if (entry.name != kPickle && !entry.name.ends_with("/data.pkl")) continue;
    TESSERA_CHECK(!found, "{}: a zip archive with two data.pkl is not PyTorch's", where);
    prefix = entry.name.substr(0, entry.name.size() - kPickle.size());
    found = true;
  }
  TESSERA_CHECK(found, "{}: a zip archive without data.pkl; only those of torch.save are read", where);
  const auto order = entries.find(prefix + "byteorder");
  const TorchStorages storages{.find =
                                   [&](const std::string& key) {
                                     const auto entry = entries.find(prefix + "data/" + key);
                                     TESSERA_CHECK(entry != entries.end(), "{}: damaged: storage {} is missing", where,
                                                   key);
                                     return entry->second;
                                   },
                               .big_endian = order != entries.end() && order->second == "big"};
  const Pickle pickle(entries.at(prefix + std::string(kPickle)), where, tensor_globals());
  return pickled_tensors(pickle.root(), storages, reader, where);
}

// Pickles of a magic number, the version 1001, the writer's machine, the object and the list of storage keys; then of
// each storage the number of elements (8 bytes) and the elements. All numbers are little-endian.
PickledTensors read_old_format(std::string_view file, StoredReader& reader, const std::string& where) {
  size_t at = 0;
  const auto next = [&] {
    Pickle pickle(file.substr(at), where, tensor_globals());
    at += pickle.size();
    return pickle;
  };
  for (int i = 0; i < 3; ++i) next();
  const Pickle object = next(), keys = next();

  std::map<std::string_view, size_t> element_sizes;
  for (const Value& value : object.values()) {
    if (!value.is(Value::Kind::kPersistent) || value.arguments->items.size() < 3) continue;
    const Value &type = *value.arguments->items[1], &key = *value.arguments->items[2];
    const std::optional<StoredType> known = torch_type(type.text);
    element_sizes[key.text] = known ? size_of(*known) : 1;  // a storage without a type counts bytes
  }
  std::map<std::string, std::string_view> parts;
  for (const Value* key : keys.root().items) {
    const auto size = element_sizes.find(key->text);
    TESSERA_CHECK(size != element_sizes.end(), "{}: damaged: storage {} is listed but not used", where, key->text);
    u64 count = 0, bytes = 0;
    TESSERA_CHECK(file.size() - at >= 8, "{}: truncated: storage {} is missing", where, key->text);
    std::memcpy(&count, file.data() + at, 8);
    at += 8;
    TESSERA_CHECK(!__builtin_mul_overflow(count, size->second, &bytes) && bytes <= file.size() - at,
                  "{}: truncated: storage {} has {} elements of {} bytes, {} bytes are left", where, key->text, count,
                  size->second, file.size() - at);
    parts.emplace(key->text, file.substr(at, bytes));
    at += bytes;
  }
  const TorchStorages storages{.find = [&](const std::string& key) {
    const auto part = parts.find(key);
    TESSERA_CHECK(part != parts.end(), "{}: damaged: storage {} is missing", where, key);
    return part->second;
  }};
  return pickled_tensors(object.root(), storages, reader, where);
}

PickledTensors read_mapped(const std::shared_ptr<const MappedFile>& mapped, const std::string& where) {
  const std::string_view file = bytes_of(*mapped);
  StoredReader reader(file, mapped);
  if (file.starts_with("PK")) return read_zip_format(file, reader, where);
  TESSERA_CHECK(file.size() < 262 || file.substr(257, 5) != "ustar",
                "{}: the tar format of PyTorch 0.1 is not read; load it in PyTorch and save it again", where);
  TESSERA_CHECK(file.starts_with('\x80'),
                "{}: neither safetensors nor PyTorch's zip format nor a pickle of protocol 2 to 5", where);
  const Pickle pickle(file, where, tensor_globals());
  if (pickle.root().is(Value::Kind::kLong) && pickle.root().text == kMagic) return read_old_format(file, reader, where);
  const TorchStorages none{.find = [&](const std::string& key) -> std::string_view {
    fail("{}: damaged: storage {} is missing", where, key);
  }};
  return pickled_tensors(pickle.root(), none, reader, where);
}

}  // namespace

std::vector<NamedTensor> WeightsFile::state_dict() const {
  std::vector<NamedTensor> result;
  for (const NamedTensor& entry : tensors)
    if (entry.name.starts_with(weights)) result.push_back({entry.name.substr(weights.size()), entry.tensor});
  return result;
}

WeightsFile read_weights_file(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> mapped = MappedFile::open(path);
  const bool safetensors = mapped->size() > 8 && mapped->data()[8] == '{';  // behind the length of the header
  if (!safetensors) {
    PickledTensors found = read_mapped(mapped, path.string());
    return {path, std::move(found.tensors), {}, std::move(found.dicts), std::move(found.weights)};
  }
  const SafeTensors file = SafeTensors::open(path);
  return {path, file.tensors(), file.metadata(), {}, ""};
}

}  // namespace tessera
