// The tensors in what PyTorch or NumPy pickled: nested dicts and lists become names with dots.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/pickle.h"
#include "tensor/safetensors.h"
#include "tensor/stored.h"

namespace tessera {

// The names that pickles of tensors import; a pickle that asks for any other is refused.
std::span<const std::string_view> tensor_globals();

// The element type of "torch.FloatStorage", "torch.float32", ...; none for a storage without a type.
std::optional<StoredType> torch_type(std::string_view global);

// What lies outside of the pickle: PyTorch's storages by key.
struct TorchStorages {
  std::function<std::string_view(const std::string& key)> find;
  bool big_endian = false;
};

struct PickledTensors {
  std::vector<NamedTensor> tensors;
  std::set<std::string> dicts;  // what the names in each nested dict or list begin with: "net.", "net.head."
  std::string weights;          // the one of them that holds the weights, if its keys are well known; else empty
};

// All tensors below the root; values that are no tensors are passed over. Well-known keys are "state_dict_ema",
// "state_dict", "model", ..., one in another: averaged weights before the trained ones. Errors begin with `where`.
PickledTensors pickled_tensors(const pickle::Value& root, const TorchStorages& storages, StoredReader& reader,
                               const std::string& where);

}  // namespace tessera
