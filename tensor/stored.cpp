#include "tensor/stored.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <type_traits>

namespace tessera {

namespace {

// Runs body<Stored, Ours>() with the unsigned integer or float that holds an element of the file, and our type for it.
template <class F>
decltype(auto) dispatch_stored(StoredType type, F&& body) {
  switch (type) {
    case StoredType::kF64:
      return body.template operator()<double, double>();
    case StoredType::kF32:
      return body.template operator()<float, float>();
    case StoredType::kF16:
      return body.template operator()<Half, Half>();
    case StoredType::kBF16:
      return body.template operator()<BFloat16, BFloat16>();
    case StoredType::kI64:
      return body.template operator()<i64, i64>();
    case StoredType::kI32:
      return body.template operator()<i32, i32>();
    case StoredType::kI16:
      return body.template operator()<std::int16_t, i32>();
    case StoredType::kI8:
      return body.template operator()<std::int8_t, i32>();
    case StoredType::kU32:
      return body.template operator()<u32, i64>();
    case StoredType::kU16:
      return body.template operator()<u16, i32>();
    case StoredType::kU8:
      return body.template operator()<u8, u8>();
    case StoredType::kBool:
      return body.template operator()<u8, bool>();
  }
  fail("unknown stored type {}", static_cast<int>(type));
}

template <class Stored>
Stored load(const char* at, bool swap) {
  std::array<char, sizeof(Stored)> bytes;
  std::memcpy(bytes.data(), at, sizeof(Stored));
  if (swap) std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<Stored>(bytes);
}

// Copies element by element; the last dimension is the inner loop.
template <class Stored, class Ours>
void copy_elements(const StoredTensor& stored, Ours* to) {
  const int rank = stored.shape.rank();
  const i64 inner = rank == 0 ? 1 : stored.shape[rank - 1], step = rank == 0 ? 0 : stored.strides.back();
  const i64 rows = stored.shape.numel() / inner;
  std::array<i64, Shape::kMaxRank> place{};
  i64 start = static_cast<i64>(stored.offset);
  for (i64 row = 0; row < rows; ++row) {
    for (i64 i = 0; i < inner; ++i) {
      const char* at = stored.storage.data() + static_cast<size_t>(start + i * step) * sizeof(Stored);
      const Stored value = load<Stored>(at, stored.big_endian);
      if constexpr (std::is_same_v<Ours, bool>)
        *to++ = value != 0;
      else if constexpr (std::is_same_v<Stored, Ours>)
        *to++ = value;
      else
        *to++ = static_cast<Ours>(value);
    }
    for (int d = rank - 2; d >= 0; --d) {
      if (stored.shape[d] == 1) continue;  // its stride may be anything
      const i64 stride = stored.strides[static_cast<size_t>(d)];
      start += stride;
      if (++place[static_cast<size_t>(d)] < stored.shape[d]) break;
      start -= stride * stored.shape[d];
      place[static_cast<size_t>(d)] = 0;
    }
  }
}

// Every element lies in the storage. Strides are not negative.
void check_reach(const StoredTensor& stored, const std::string& name) {
  const Shape& shape = stored.shape;
  const u64 elements = stored.storage.size() / size_of(stored.type);
  u64 last = stored.offset;
  bool fits = stored.strides.size() == static_cast<size_t>(shape.rank());
  const bool empty = shape.numel() == 0;
  for (int d = 0; d < shape.rank() && fits && !empty; ++d) {
    u64 reach = 0;
    fits = stored.strides[static_cast<size_t>(d)] >= 0 &&
           !__builtin_mul_overflow(static_cast<u64>(stored.strides[static_cast<size_t>(d)]),
                                   static_cast<u64>(shape[d] - 1), &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  }
  TESSERA_CHECK(fits && (empty || last < elements), "{}: {} at element {} reaches beyond its storage of {} elements",
                name, shape, stored.offset, elements);
}

}  // namespace

size_t size_of(StoredType type) {
  return dispatch_stored(type, []<class Stored, class Ours>() { return sizeof(Stored); });
}

std::vector<i64> contiguous_strides(const Shape& shape, bool column_major) {
  std::vector<i64> strides(static_cast<size_t>(shape.rank()), 1);
  if (shape.numel() == 0) return strides;
  i64 stride = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    const int d = column_major ? i : shape.rank() - 1 - i;
    strides[static_cast<size_t>(d)] = stride;
    stride *= shape[d];
  }
  return strides;
}

StoredReader::StoredReader(std::string_view file, std::shared_ptr<const void> owner)
    : file_(file), owner_(std::move(owner)), copies_left_(8 * static_cast<u64>(file.size()) + (16 << 20)) {}

bool StoredReader::can_view(const StoredTensor& stored) const {
  const size_t size = size_of(stored.type);
  const char* first = stored.storage.data() + stored.offset * size;
  const bool inside = std::less_equal<>()(file_.data(), stored.storage.data()) &&
                      std::less_equal<>()(stored.storage.data() + stored.storage.size(), file_.data() + file_.size());
  const bool same =
      dispatch_stored(stored.type, []<class Stored, class Ours>() { return std::is_same_v<Stored, Ours>; });
  if (!inside || !same || (stored.big_endian && size > 1) || reinterpret_cast<std::uintptr_t>(first) % size != 0)
    return false;
  const std::vector<i64> wanted = contiguous_strides(stored.shape);
  for (int d = 0; d < stored.shape.rank(); ++d)  // the stride of a dimension of one element says nothing
    if (stored.shape[d] != 1 && stored.strides[static_cast<size_t>(d)] != wanted[static_cast<size_t>(d)]) return false;
  return true;
}

Tensor StoredReader::read(const StoredTensor& stored, const std::string& name) {
  check_reach(stored, name);
  return dispatch_stored(stored.type, [&]<class Stored, class Ours>() {
    const DType dtype = kDTypeOf<Ours>;
    if (stored.shape.numel() == 0) return Tensor::empty(stored.shape, dtype);
    if (can_view(stored)) {
      const char* first = stored.storage.data() + stored.offset * sizeof(Stored);
      return Tensor::borrow(const_cast<char*>(first), stored.shape, dtype, owner_);  // mapped copy-on-write
    }
    u64 bytes = 0;
    TESSERA_CHECK(
        !__builtin_mul_overflow(static_cast<u64>(stored.shape.numel()), sizeof(Ours), &bytes) && bytes <= copies_left_,
        "{}: {} is refused: the tensors of this file would need far more memory than the file has bytes; "
        "save clones of repeated (expanded) tensors",
        name, stored.shape);
    copies_left_ -= bytes;
    Tensor result = Tensor::empty(stored.shape, dtype);
    copy_elements<Stored>(stored, result.data<Ours>());
    return result;
  });
}

}  // namespace tessera
