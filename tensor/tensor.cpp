#include "tensor/tensor.h"

#include "tensor/device_counts.h"
#include "tensor/device_runtime.h"

namespace tessera {

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.numel_ = shape.numel();
  tensor.dtype_ = dtype;
  size_t bytes = 0;
  TESSERA_CHECK(!__builtin_mul_overflow(static_cast<size_t>(tensor.numel_), size_of(dtype), &bytes),
                "tensor {} of {} is larger than the address space", shape, name_of(dtype));
  tensor.storage_ = Storage::allocate(bytes, device);
  tensor.kind_ = device.kind;
  tensor.data_ = static_cast<std::byte*>(tensor.storage_->data());
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  tensor.fill(0);
  return tensor;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  tensor.fill(value);
  return tensor;
}

Tensor Tensor::borrow(void* data, const Shape& shape, DType dtype, std::shared_ptr<const void> owner) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.numel_ = shape.numel();
  tensor.dtype_ = dtype;
  tensor.storage_ = Storage::borrow(data, tensor.bytes(), std::move(owner));
  tensor.data_ = static_cast<std::byte*>(data);
  return tensor;
}

Device Tensor::device() const {
  TESSERA_CHECK(storage_, "an undefined tensor has no device");
  return storage_->device();
}

double Tensor::item() const {
  TESSERA_CHECK(storage_ && numel_ == 1, "item: a tensor of one element is needed, got {}", shape_);
  const Tensor host = to(Device{});
  return dispatch_any(dtype_, [&]<class T>() { return convert<double>(*host.data<T>()); });
}

Tensor Tensor::reshape(const Shape& shape) const {
  TESSERA_CHECK(storage_, "reshape: the tensor is undefined");
  TESSERA_CHECK(shape.numel() == numel_, "reshape: {} has {} elements, {} has {}", shape_, numel_, shape,
                shape.numel());
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::rows(i64 begin, i64 end) const {
  TESSERA_CHECK(rank() >= 1 && 0 <= begin && begin <= end && end <= dim(0), "rows: range [{}, {}) is outside shape {}",
                begin, end, shape_);
  Tensor view = *this;
  view.shape_[0] = end - begin;
  view.numel_ = view.shape_.numel();
  view.data_ += begin * shape_.numel(1, rank()) * static_cast<i64>(size_of(dtype_));
  return view;
}

Tensor Tensor::clone() const {
  Tensor copy = empty(shape_, dtype_, device());
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(Device target) const {
  const Device source = device();
  if (target == source) return *this;
  const bool from_host = source == Device{}, to_host = target == Device{};
  if (!from_host && !to_host) return to(Device{}).to(target);
  Tensor copy = empty(shape_, dtype_, target);
  const Device other = from_host ? target : source;
  if (to_host) count_device_wait();
  device_runtime(other.kind)
      .copy(copy.data_, data_, bytes(), from_host ? CopyDirection::kFromHost : CopyDirection::kToHost, other.index);
  return copy;
}

Tensor Tensor::to(DType target) const {
  if (target == dtype_) return *this;
  Tensor result = empty(shape_, target, device());
  device_runtime(kind_).convert(result.data_, target, data_, dtype_, numel_, device().index);
  return result;
}

void Tensor::copy_from(const Tensor& source) {
  TESSERA_CHECK(source.shape() == shape_ && source.dtype() == dtype_, "copy: {} of {} cannot be copied into {} of {}",
                source.shape(), name_of(source.dtype()), shape_, name_of(dtype_));
  TESSERA_CHECK(source.device() == device(), "copy: source on {}, target on {}", source.device(), device());
  device_runtime(kind_).copy(data_, source.data_, bytes(), CopyDirection::kWithin, device().index);
}

void Tensor::fill(double value) {
  dispatch_any(dtype_, [&]<class T>() {
    const T element = convert<T>(value);
    device_runtime(kind_).fill(data_, &element, sizeof(T), numel_, device().index);
  });
}

void Tensor::throw_access(DType asked) const {
  if (!storage_) fail("the tensor is undefined");
  if (dtype_ != asked) fail("tensor {} holds {}, asked for {}", shape_, name_of(dtype_), name_of(asked));
  fail("tensor {} lies on {}, where the processor cannot read it; copy it with to_host()", shape_, device());
}

std::vector<Tensor> to_host(std::span<const Tensor> tensors) {
  std::vector<Tensor> copies(tensors.begin(), tensors.end());
  if (tensors.empty() || tensors[0].device() == Device{}) return copies;
  const Device device = tensors[0].device();
  constexpr size_t kAlignment = 64;
  size_t bytes = 0;
  std::vector<size_t> places;
  for (const Tensor& tensor : tensors) {
    TESSERA_CHECK(tensor.device() == device, "to_host: tensors on {} and on {}", device, tensor.device());
    places.push_back(bytes);
    bytes += (tensor.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  }
  // They are put beside each other on the device and travel as one.
  Tensor together = Tensor::empty({static_cast<i64>(bytes)}, DType::kU8, device);
  for (size_t i = 0; i < tensors.size(); ++i)
    device_runtime(device.kind)
        .copy(static_cast<std::byte*>(together.raw()) + places[i], tensors[i].raw(), tensors[i].bytes(),
              CopyDirection::kWithin, device.index);
  const auto arrived = std::make_shared<Tensor>(together.to_host());
  for (size_t i = 0; i < tensors.size(); ++i)
    copies[i] = Tensor::borrow(static_cast<std::byte*>(arrived->raw()) + places[i], tensors[i].shape(),
                               tensors[i].dtype(), arrived);
  return copies;
}

}  // namespace tessera
