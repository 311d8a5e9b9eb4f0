#include "tensor/shape.h"

#include <algorithm>

namespace tessera {

Shape::Shape(std::span<const i64> dims) {
  TESSERA_CHECK(dims.size() <= kMaxRank, "a shape has at most {} dimensions, got {}", kMaxRank, dims.size());
  for (i64 size : dims) append(size);
}

void Shape::append(i64 size) {
  TESSERA_CHECK(rank_ < kMaxRank, "a shape has at most {} dimensions", kMaxRank);
  TESSERA_CHECK(size >= 0, "a dimension cannot be negative, got {}", size);
  dims_[rank_++] = size;
}

i64 Shape::numel() const {
  return numel(0, rank_);
}

i64 Shape::numel(int first, int last) const {
  i64 product = 1;
  for (int i = first; i < last; ++i)
    TESSERA_CHECK(!__builtin_mul_overflow(product, dims_[i], &product), "shape {} has more elements than 2^63", str());
  return product;
}

int Shape::axis(int position, const char* op) const {
  TESSERA_CHECK(position >= -rank_ && position < rank_, "{}: dimension {} is outside shape {}", op, position, str());
  return position < 0 ? position + rank_ : position;
}

std::string Shape::str() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string(dims_[i]);
  return text + "]";
}

bool Shape::operator==(const Shape& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

void Shape::throw_position(int position) const {
  fail("dimension {} is outside shape {}", position, str());
}

}  // namespace tessera
