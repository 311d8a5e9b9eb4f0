// Tensors as other tools store them: any element type, byte order, offset and strides, brought into ours.
//
// Types that ours lack are widened without loss: i8, i16 and u16 become i32, u32 becomes i64.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace tessera {

enum class StoredType : u8 { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU32, kU16, kU8, kBool };

size_t size_of(StoredType type);

struct StoredTensor {
  StoredType type = StoredType::kF32;
  bool big_endian = false;
  std::string_view storage;  // the bytes that the offset and the strides walk in
  u64 offset = 0;            // these two in elements
  std::vector<i64> strides;
  Shape shape;
};

std::vector<i64> contiguous_strides(const Shape& shape, bool column_major = false);

// Brings tensors of one file into ours: views of the file where it holds them as we would, else copies. A small file
// may ask for copies of any size (a stride of 0 repeats one element for ever); those beyond what its own size makes
// plausible are refused.
class StoredReader {
 public:
  // `owner` keeps `file` alive; storages within it can be viewed.
  StoredReader(std::string_view file, std::shared_ptr<const void> owner);

  // Throws an Error that begins with `name` when the tensor reaches beyond its storage.
  Tensor read(const StoredTensor& stored, const std::string& name);

 private:
  bool can_view(const StoredTensor& stored) const;

  std::string_view file_;
  std::shared_ptr<const void> owner_;
  u64 copies_left_;  // bytes
};

}  // namespace tessera
