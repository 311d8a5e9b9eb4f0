// The sizes of a contiguous row-major block: [N, H, W, C] for feature maps, at most kMaxRank dimensions.
#pragma once

#include <fmt/format.h>

#include <array>
#include <initializer_list>
#include <span>
#include <string>

#include "tensor/dtype.h"

namespace tessera {

class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<i64> dims) : Shape(std::span<const i64>(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const i64> dims);

  int rank() const { return rank_; }
  // Negative positions count from the end: dim(-1) is the last dimension.
  i64 operator[](int position) const { return dims_[checked(position)]; }
  i64& operator[](int position) { return dims_[checked(position)]; }
  const i64* begin() const { return dims_.data(); }
  const i64* end() const { return dims_.data() + rank_; }

  i64 numel() const;                             // product of all sizes, checked against overflow; 1 for rank 0
  i64 numel(int first, int last) const;          // product of the sizes of dimensions [first, last)
  int axis(int position, const char* op) const;  // position in [-rank, rank) as [0, rank), else an error naming op
  void append(i64 size);
  std::string str() const;  // "[2, 80, 80, 64]"

  bool operator==(const Shape& other) const;

 private:
  int checked(int position) const {
    const int index = position < 0 ? position + rank_ : position;
    if (index < 0 || index >= rank_) [[unlikely]]
      throw_position(position);
    return index;
  }
  [[noreturn]] void throw_position(int position) const;

  std::array<i64, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace tessera

template <>
struct fmt::formatter<tessera::Shape> : fmt::formatter<std::string> {
  auto format(const tessera::Shape& shape, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(shape.str(), context);
  }
};
