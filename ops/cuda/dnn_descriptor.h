// Descriptors of cuDNN's backend API: what operations, graphs, engines and plans are made of. An attribute's type
// follows from the value's.
#pragma once

#include <cudnn_graph.h>

#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor/allocator.h"
#include "tensor/dtype.h"
#include "tensor/error.h"

namespace tessera::cuda {

// cuDNN does not take these sizes, or not with this engine. Caught where there is something else to try.
struct Refused {};

// Throws where a call of cuDNN did not succeed, with its reason.
inline void check_dnn(cudnnStatus_t status, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof detail);
  fail("cuda: {}: {} failed: {} {}", OpScope::current() ? OpScope::current() : "convolution", call,
       cudnnGetErrorString(status), detail);
}

// The same for a call that cuDNN may refuse: it says that something is not supported, of some sizes that they are
// wrong, and of engines that cannot be set up here that they have an internal error.
inline void check_taken(cudnnStatus_t status, const char* call) {
  switch (CUDNN_STATUS_CATEGORY(status)) {
    case CUDNN_STATUS_NOT_SUPPORTED:
    case CUDNN_STATUS_BAD_PARAM:
    case CUDNN_STATUS_INTERNAL_ERROR:
      throw Refused();
    default:
      check_dnn(status, call);
  }
}

template <class T>
constexpr auto kAttributeType = nullptr;  // for the types below alone
template <>
inline constexpr auto kAttributeType<bool> = CUDNN_TYPE_BOOLEAN;
template <>
inline constexpr auto kAttributeType<char> = CUDNN_TYPE_CHAR;
template <>
inline constexpr auto kAttributeType<float> = CUDNN_TYPE_FLOAT;
template <>
inline constexpr auto kAttributeType<i64> = CUDNN_TYPE_INT64;
template <>
inline constexpr auto kAttributeType<void*> = CUDNN_TYPE_VOID_PTR;
template <>
inline constexpr auto kAttributeType<cudnnHandle_t> = CUDNN_TYPE_HANDLE;
template <>
inline constexpr auto kAttributeType<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
inline constexpr auto kAttributeType<cudnnConvolutionMode_t> = CUDNN_TYPE_CONVOLUTION_MODE;
template <>
inline constexpr auto kAttributeType<cudnnPointwiseMode_t> = CUDNN_TYPE_POINTWISE_MODE;
template <>
inline constexpr auto kAttributeType<cudnnNanPropagation_t> = CUDNN_TYPE_NAN_PROPOGATION;
template <>
inline constexpr auto kAttributeType<cudnnBackendHeurMode_t> = CUDNN_TYPE_HEUR_MODE;
template <>
inline constexpr auto kAttributeType<cudnnBackendNumericalNote_t> = CUDNN_TYPE_NUMERICAL_NOTE;
template <>
inline constexpr auto kAttributeType<cudnnBackendBehaviorNote_t> = CUDNN_TYPE_BEHAVIOR_NOTE;
template <>
inline constexpr auto kAttributeType<cudnnBackendKnobType_t> = CUDNN_TYPE_KNOB_TYPE;

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check_dnn(cudnnBackendCreateDescriptor(type, &descriptor_), "cudnnBackendCreateDescriptor");
  }
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Descriptor() {
    if (descriptor_) cudnnBackendDestroyDescriptor(descriptor_);
  }
  cudnnBackendDescriptor_t get() const { return descriptor_; }

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const T> values) {
    return set(name, kAttributeType<T>, values.size(), values.data());
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, std::initializer_list<T> values) {
    return set(name, kAttributeType<T>, values.size(), values.begin());
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, const T& value) {
    return set(name, kAttributeType<T>, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.descriptor_);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<Descriptor>& values) {
    std::vector<cudnnBackendDescriptor_t> raw;
    for (const Descriptor& value : values) raw.push_back(value.descriptor_);
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, raw.size(), raw.data());
  }

  // After the last set(): from then on it is what it is.
  Descriptor& finalize() {
    check_taken(cudnnBackendFinalize(descriptor_), "cudnnBackendFinalize");
    return *this;
  }

  template <class T>
  T get(cudnnBackendAttributeName_t name) const {
    T value{};
    get(name, kAttributeType<T>, 1, &value);
    return value;
  }
  template <class T>
  std::vector<T> get_all(cudnnBackendAttributeName_t name, i64 most) const {
    std::vector<T> values(static_cast<size_t>(most));
    values.resize(static_cast<size_t>(get(name, kAttributeType<T>, most, values.data())));
    return values;
  }
  std::vector<Descriptor> get_all(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type, i64 most) const {
    std::vector<Descriptor> values;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (i64 i = 0; i < most; ++i) raw.push_back(values.emplace_back(type).descriptor_);
    values.erase(values.begin() + get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data()), values.end());
    return values;
  }
  // How many values it has; with fewer to get, that is not said.
  i64 count(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
    return get(name, type, 0, nullptr);
  }

 private:
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, size_t count,
                  const void* values) {
    check_taken(cudnnBackendSetAttribute(descriptor_, name, type, static_cast<i64>(count), values),
                "cudnnBackendSetAttribute");
    return *this;
  }
  i64 get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, i64 most, void* values) const {
    i64 count = 0;
    check_taken(cudnnBackendGetAttribute(descriptor_, name, type, most, &count, values), "cudnnBackendGetAttribute");
    return count;
  }

  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

}  // namespace tessera::cuda
