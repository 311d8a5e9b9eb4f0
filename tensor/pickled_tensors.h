// The tensors in what PyTorch or NumPy pickled: nested dicts and lists become names with dots.
#pragma once

#include <functional>
#include <optional>
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

// Of a training checkpoint the weights alone: the first of the well-known keys ("state_dict_ema", "state_dict",
// "model", ...; averaged weights before the trained ones) that holds a dict, on every level. Values that are no tensors
// are passed over. Errors begin with `where`.
std::vector<NamedTensor> pickled_tensors(const pickle::Value& root, const TorchStorages& storages, StoredReader& reader,
                                         const std::string& where);

}  // namespace tessera
