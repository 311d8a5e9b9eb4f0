// Tensor: a shape over a contiguous row-major block of memory. It knows nothing of gradients (see autograd/var.h).
//
// A Tensor is a handle: copies share the memory. Feature maps are [N, H, W, C], convolution weights
// [Cout, Kh, Kw, Cin/groups]. The only views are those that stay contiguous: reshape, and a range of the first
// dimension.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tensor/storage.h"

namespace tessera {

class Tensor {
 public:
  Tensor() = default;  // undefined: stands for an absent optional argument

  static Tensor empty(const Shape& shape, DType dtype = DType::kF32, Device device = {});  // uninitialised
  static Tensor zeros(const Shape& shape, DType dtype = DType::kF32, Device device = {});
  static Tensor full(const Shape& shape, double value, DType dtype = DType::kF32, Device device = {});
  static Tensor borrow(void* data, const Shape& shape, DType dtype, std::shared_ptr<const void> owner);
  // A copy of host values; throws when their number is not shape.numel().
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape);
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }
  template <class T>
  static Tensor from(const std::vector<T>& values) {
    return from(std::span<const T>(values), {static_cast<i64>(values.size())});
  }

  bool defined() const { return storage_ != nullptr; }
  explicit operator bool() const { return defined(); }

  const Shape& shape() const { return shape_; }
  i64 dim(int position) const { return shape_[position]; }
  int rank() const { return shape_.rank(); }
  i64 numel() const { return numel_; }
  DType dtype() const { return dtype_; }
  Device device() const;
  size_t bytes() const { return static_cast<size_t>(numel_) * size_of(dtype_); }
  bool unique() const { return storage_.use_count() == 1; }  // nobody else sees this memory
  bool same_memory(const Tensor& other) const { return storage_ == other.storage_; }

  // Typed pointer; throws when T is not the tensor's dtype, or when the tensor lies on another device than the CPU.
  template <class T>
  const T* data() const {
    if (dtype_ != kDTypeOf<T> || kind_ != DeviceKind::kCpu || !storage_) [[unlikely]]
      throw_access(kDTypeOf<T>);
    return reinterpret_cast<const T*>(data_);
  }
  template <class T>
  T* data() {
    return const_cast<T*>(static_cast<const Tensor*>(this)->data<T>());
  }
  template <class T>
  std::span<const T> span() const {
    return {data<T>(), static_cast<size_t>(numel_)};
  }
  template <class T>
  std::span<T> span() {
    return {data<T>(), static_cast<size_t>(numel_)};
  }
  // The pointer as a kernel of the tensor's own device takes it.
  template <class T>
  const T* device_data() const {
    if (dtype_ != kDTypeOf<T> || !storage_) [[unlikely]]
      throw_access(kDTypeOf<T>);
    return reinterpret_cast<const T*>(data_);
  }
  template <class T>
  T* device_data() {
    return const_cast<T*>(static_cast<const Tensor*>(this)->device_data<T>());
  }
  const void* raw() const { return data_; }
  void* raw() { return data_; }

  // The only element of a one-element tensor, of any numeric dtype, as a double.
  double item() const;

  // Views of the same memory.
  Tensor reshape(const Shape& shape) const;  // numel must agree
  Tensor rows(i64 begin, i64 end) const;     // elements [begin, end) of the first dimension

  // Copies.
  Tensor clone() const;
  Tensor to(Device device) const;  // this tensor when it is already there
  Tensor to_host() const { return to(Device{}); }
  Tensor to(DType dtype) const;          // this tensor when the dtype is the same
  void copy_from(const Tensor& source);  // same shape, dtype and device
  void fill(double value);

 private:
  [[noreturn]] void throw_access(DType asked) const;

  std::shared_ptr<Storage> storage_;
  std::byte* data_ = nullptr;
  Shape shape_;
  i64 numel_ = 0;
  DType dtype_ = DType::kF32;
  DeviceKind kind_ = DeviceKind::kCpu;  // the storage's, where data() finds it at once
};

// Copies of tensors that lie on one device, with one wait for it.
std::vector<Tensor> to_host(std::span<const Tensor> tensors);

template <class T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape) {
  TESSERA_CHECK(static_cast<i64>(values.size()) == shape.numel(), "tensor: {} values do not fill shape {}",
                values.size(), shape);
  Tensor tensor = empty(shape, kDTypeOf<T>);
  std::copy(values.begin(), values.end(), tensor.data<T>());
  return tensor;
}

}  // namespace tessera
