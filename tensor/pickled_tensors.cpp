#include "tensor/pickled_tensors.h"

#include <simdjson.h>

#include <algorithm>
#include <map>
#include <unordered_map>

namespace tessera {

namespace {

using pickle::Value;
using Kind = Value::Kind;

constexpr int kMaxDepth = 64;
constexpr size_t kMaxVisits = 100'000, kMaxName = 1000;

struct TorchType {
  std::string_view storage, dtype;
  StoredType type;
};
constexpr TorchType kTorchTypes[] = {
    {"torch.DoubleStorage", "torch.float64", StoredType::kF64},
    {"torch.FloatStorage", "torch.float32", StoredType::kF32},
    {"torch.HalfStorage", "torch.float16", StoredType::kF16},
    {"torch.BFloat16Storage", "torch.bfloat16", StoredType::kBF16},
    {"torch.LongStorage", "torch.int64", StoredType::kI64},
    {"torch.IntStorage", "torch.int32", StoredType::kI32},
    {"torch.ShortStorage", "torch.int16", StoredType::kI16},
    {"torch.CharStorage", "torch.int8", StoredType::kI8},
    {"torch.ByteStorage", "torch.uint8", StoredType::kU8},
    {"torch.BoolStorage", "torch.bool", StoredType::kBool},
    {"", "torch.uint16", StoredType::kU16},
    {"", "torch.uint32", StoredType::kU32},
};

struct NumpyType {
  std::string_view name;
  StoredType type;
};
constexpr NumpyType kNumpyTypes[] = {{"f8", StoredType::kF64}, {"f4", StoredType::kF32}, {"f2", StoredType::kF16},
                                     {"i8", StoredType::kI64}, {"i4", StoredType::kI32}, {"i2", StoredType::kI16},
                                     {"i1", StoredType::kI8},  {"u4", StoredType::kU32}, {"u2", StoredType::kU16},
                                     {"u1", StoredType::kU8},  {"b1", StoredType::kBool}};

// Tensors, and the harmless company they keep in training checkpoints.
constexpr std::string_view kOtherGlobals[] = {"torch._utils._rebuild_tensor",
                                              "torch._utils._rebuild_tensor_v2",
                                              "torch._utils._rebuild_tensor_v3",
                                              "torch._utils._rebuild_parameter",
                                              "torch._utils._rebuild_parameter_with_state",
                                              "torch._tensor._rebuild_from_type_v2",
                                              "torch.Tensor",
                                              "torch.nn.parameter.Parameter",
                                              "torch.storage.UntypedStorage",
                                              "torch.UntypedStorage",
                                              "torch.storage.TypedStorage",
                                              "torch.Size",
                                              "torch.device",
                                              "torch.serialization._get_layout",
                                              "collections.OrderedDict",
                                              "collections.defaultdict",
                                              "collections.Counter",
                                              "argparse.Namespace",
                                              "builtins.dict",
                                              "builtins.list",
                                              "builtins.set",
                                              "__builtin__.set",
                                              "_codecs.encode",
                                              "numpy.ndarray",
                                              "numpy.dtype",
                                              "numpy.core.multiarray._reconstruct",
                                              "numpy._core.multiarray._reconstruct",
                                              "numpy.core.multiarray.scalar",
                                              "numpy._core.multiarray.scalar",
                                              "numpy.core.numeric._frombuffer",
                                              "numpy._core.numeric._frombuffer"};

bool is_dict(const Value& value) {
  return value.is(Kind::kDict) || value.calls("collections.OrderedDict") || value.calls("collections.defaultdict");
}

class TensorWalk {
 public:
  TensorWalk(const TorchStorages& storages, StoredReader& reader, const std::string& where)
      : storages_(storages), reader_(reader), where_(where) {}

  PickledTensors run(const Value& root) {
    visit(root, "", 0);
    TESSERA_CHECK(!found_.tensors.empty(), "{}: holds no tensors", where_);
    while (const char* key = well_known_key()) found_.weights += std::string(key) + ".";
    return std::move(found_);
  }

 private:
  // The first of the well-known keys in the dict found_.weights that holds a dict of tensors.
  const char* well_known_key() const {
    for (const char* key : {"state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "state_dict",
                            "model_state_dict", "model", "module", "params", "blobs"}) {
      const std::string inside = found_.weights + key + ".";
      const auto first = names_.lower_bound(inside);
      if (found_.dicts.contains(inside) && first != names_.end() && first->starts_with(inside)) return key;
    }
    return nullptr;
  }

  // Is anything in it made by a call, as tensors are? Each value is looked at once, however often it is referred to.
  bool holds_tensors(const Value& value, int depth) {
    if (value.is(Kind::kCall) && !is_dict(value)) return true;
    if (value.items.empty()) return false;
    check_depth(depth);
    const auto [found, fresh] = holds_tensors_.try_emplace(&value, false);  // in a circle: what the others hold
    if (!fresh) return found->second;
    bool holds = false;
    for (const Value* item : value.items) holds = holds || holds_tensors(*item, depth + 1);
    return holds_tensors_[&value] = holds;
  }
  void check_depth(int depth) const {
    TESSERA_CHECK(depth <= kMaxDepth, "{}: nested deeper than {} levels, or in a circle", where_, kMaxDepth);
  }

  void visit(const Value& value, const std::string& name, int depth) {
    check_depth(depth);
    TESSERA_CHECK(++visits_ <= kMaxVisits, "{}: more than {} values are not read", where_, kMaxVisits);
    const bool dict = is_dict(value);
    if (dict || value.is(Kind::kList) || value.is(Kind::kTuple)) {
      if (!holds_tensors(value, depth)) return;
      if (!name.empty()) found_.dicts.insert(name + ".");
      for (size_t i = 0; i + dict < value.items.size(); i += 1 + dict) {
        const Value& key = *value.items[i];
        if (!dict)
          visit(key, join(name, std::to_string(i)), depth + 1);
        else if (key.is(Kind::kText) || key.is(Kind::kInteger))
          visit(*value.items[i + 1],
                join(name, key.is(Kind::kText) ? std::string(key.text) : std::to_string(key.integer)), depth + 1);
      }
    } else if (value.is(Kind::kCall)) {
      add(value, name.empty() ? "tensor" : name);
    }
  }
  std::string join(const std::string& name, const std::string& part) const {
    TESSERA_CHECK(name.size() + part.size() < kMaxName, "{}: a name of more than {} letters is not read", where_,
                  kMaxName);
    return name.empty() ? part : name + "." + part;
  }

  // Appends the tensor that the call makes, if it makes one.
  void add(const Value& value, const std::string& name) {
    TESSERA_CHECK(simdjson::validate_utf8(name), "{}: a name is no UTF-8 text", where_);
    place_ = where_ + ": " + name;
    std::string_view function = value.function->text;
    const Value *arguments = value.arguments, *state = value.state;
    for (int depth = 0; depth < kMaxDepth; ++depth) {  // what stands around a tensor
      if (function == "torch._utils._rebuild_parameter" || function == "torch._utils._rebuild_parameter_with_state") {
        const Value& inner = expect(item(*arguments, 0), Kind::kCall);
        function = inner.function->text;
        arguments = inner.arguments;
      } else if (function == "torch._tensor._rebuild_from_type_v2") {  // (function, type, arguments, state)
        function = expect(item(*arguments, 0), Kind::kGlobal).text;
        arguments = &expect(item(*arguments, 2), Kind::kTuple);
      }
    }
    std::optional<StoredTensor> stored;
    if (function.starts_with("torch._utils._rebuild_tensor"))
      stored = torch_tensor(function, *arguments);
    else if (function.ends_with(".multiarray._reconstruct"))
      stored = numpy_array(state);
    else if (function.ends_with(".numeric._frombuffer"))  // (bytes, dtype, shape, order)
      stored = numpy_array(item(*arguments, 1), item(*arguments, 0), item(*arguments, 2),
                           expect(item(*arguments, 3), Kind::kText).text == "F");
    if (!stored) return;
    TESSERA_CHECK(names_.insert(name).second, "{}: two tensors are called {}", where_, name);
    found_.tensors.push_back({name, reader_.read(*stored, place_)});
  }

  // (storage, offset, size, stride, requires_grad, hooks), in _v3 also the dtype behind the hooks
  StoredTensor torch_tensor(std::string_view function, const Value& arguments) const {
    const Value& id = *expect(item(arguments, 0), Kind::kPersistent).arguments;  // ("storage", type, key, place, size)
    const std::string_view storage_type = expect(item(id, 1), Kind::kGlobal).text;
    const bool has_dtype = function == "torch._utils._rebuild_tensor_v3";
    const std::string_view type_name = has_dtype ? expect(item(arguments, 6), Kind::kGlobal).text : storage_type;
    const std::optional<StoredType> type = torch_type(type_name);
    TESSERA_CHECK(type, "{}: elements of type {} are not read", place_, type_name);
    TESSERA_CHECK(id.items.size() < 6 || item(id, 5).is(Kind::kNone), "{}: views of storages are not read", place_);
    StoredTensor tensor;
    tensor.type = *type;
    tensor.big_endian = storages_.big_endian;
    tensor.storage = storages_.find(std::string(expect(item(id, 2), Kind::kText).text));
    tensor.offset = static_cast<u64>(expect(item(arguments, 1), Kind::kInteger).integer);
    tensor.shape = shape_of(item(arguments, 2));
    for (const Value* stride : expect(item(arguments, 3), Kind::kTuple).items)
      tensor.strides.push_back(expect(*stride, Kind::kInteger).integer);
    return tensor;
  }

  // The state of an array: (version, shape, dtype, column-major?, bytes). Of texts, objects and dates: none.
  std::optional<StoredTensor> numpy_array(const Value* state) {
    TESSERA_CHECK(state, "{}: damaged array", place_);
    return numpy_array(item(*state, 2), item(*state, 4), item(*state, 1), item(*state, 3).integer != 0);
  }
  std::optional<StoredTensor> numpy_array(const Value& dtype, const Value& bytes, const Value& shape,
                                          bool column_major) {
    // dtype("f4", False, True) with the state (version, byte order, ...)
    TESSERA_CHECK(dtype.calls("numpy.dtype"), "{}: damaged array: no dtype", place_);
    const std::string_view name = expect(item(*dtype.arguments, 0), Kind::kText).text;
    if (!name.empty() && std::string_view("OSUVMm").find(name[0]) != std::string_view::npos) return std::nullopt;
    const auto* known = std::find_if(std::begin(kNumpyTypes), std::end(kNumpyTypes),
                                     [&](const NumpyType& type) { return type.name == name; });
    TESSERA_CHECK(known != std::end(kNumpyTypes), "{}: elements of NumPy's type {} are not read", place_, name);
    StoredTensor tensor;
    tensor.type = known->type;
    tensor.big_endian = dtype.state && expect(item(*dtype.state, 1), Kind::kText).text == ">";
    tensor.shape = shape_of(shape);
    tensor.strides = contiguous_strides(tensor.shape, column_major);
    tensor.storage = bytes_of(bytes);
    return tensor;
  }

  // Bytes, a string of Python 2, or encode(text, "latin1"), which protocol 2 makes of bytes: one letter for each.
  std::string_view bytes_of(const Value& value) {
    if (value.is(Kind::kBytes) || value.is(Kind::kText)) return value.text;
    TESSERA_CHECK(value.calls("_codecs.encode"), "{}: damaged array: no bytes", place_);
    const auto [found, fresh] = decoded_.try_emplace(&value);
    std::string& bytes = found->second;
    const std::string_view text = expect(item(*value.arguments, 0), Kind::kText).text;
    if (!fresh) return bytes;
    for (size_t i = 0; i < text.size(); ++i) {
      const u8 lead = static_cast<u8>(text[i]);
      if (lead < 0x80) {
        bytes.push_back(text[i]);
        continue;
      }
      TESSERA_CHECK((lead == 0xC2 || lead == 0xC3) && i + 1 < text.size(), "{}: damaged array: not latin1", place_);
      bytes.push_back(static_cast<char>((lead << 6) | (static_cast<u8>(text[++i]) & 0x3F)));
    }
    return bytes;
  }

  Shape shape_of(const Value& value) const {
    const Value& sizes = value.calls("torch.Size") ? item(*value.arguments, 0) : value;
    Shape shape;
    try {
      for (const Value* size : expect(sizes, Kind::kTuple).items) shape.append(expect(*size, Kind::kInteger).integer);
      (void)shape.numel();
    } catch (const Error& error) {
      fail("{}: {}", place_, error.what());
    }
    return shape;
  }

  const Value& item(const Value& value, size_t position) const {
    TESSERA_CHECK(expect(value, Kind::kTuple).items.size() > position, "{}: damaged tensor: part {} is missing", place_,
                  position);
    return *value.items[position];
  }
  const Value& expect(const Value& value, Kind kind) const {
    TESSERA_CHECK(value.is(kind), "{}: damaged tensor: a part has the wrong type", place_);
    return value;
  }

  const TorchStorages& storages_;
  StoredReader& reader_;
  const std::string& where_;
  PickledTensors found_;
  std::set<std::string> names_;
  std::unordered_map<const Value*, bool> holds_tensors_;
  std::map<const Value*, std::string> decoded_;
  std::string place_;  // the file and the tensor's name, for messages
  size_t visits_ = 0;
};

}  // namespace

std::span<const std::string_view> tensor_globals() {
  static const std::vector<std::string_view> all = [] {
    std::vector<std::string_view> names(std::begin(kOtherGlobals), std::end(kOtherGlobals));
    for (const TorchType& type : kTorchTypes) {
      names.push_back(type.dtype);
      if (!type.storage.empty()) names.push_back(type.storage);
    }
    return names;
  }();
  return all;
}

std::optional<StoredType> torch_type(std::string_view global) {
  for (const TorchType& type : kTorchTypes)
    if (!global.empty() && (global == type.storage || global == type.dtype)) return type.type;
  return std::nullopt;
}

PickledTensors pickled_tensors(const pickle::Value& root, const TorchStorages& storages, StoredReader& reader,
                               const std::string& where) {
  return TensorWalk(storages, reader, where).run(root);
}

}  // namespace tessera
