// One operator = one typed table of kernels, indexed by device.
//
//   ops/pointwise.h          inline constinit KernelTable<void(const Tensor& x, Tensor& y)> add_into_kernels{"add_into"};
//   ops/cpu/pointwise.cpp    static const bool kAdded = add_into_kernels.add(DeviceKind::kCpu, add_into_cpu);
//   ops/pointwise.cpp        add_into_kernels(term, target);
//
// A family whose operators are structs F (ops/scalar/pointwise.h) has one template of a table, named F::kName, or
// kBackwardName<F> for the derivative, and registers all its kernels at once.
//
// The function type is the contract: a kernel of another shape does not compile. A kernel's file adds itself; nobody
// else knows that it exists. The call checks that all tensors lie on one device and names the one that does not.
// Undefined tensors (absent optional arguments) are passed through.
//
// A second argument of the constructor tells the operator's work from the kernel's arguments (ops/work.h):
//
//   inline constinit KernelTable<MatmulKernel> matmul_kernels{
//       "matmul", [](const MatmulDims& d, auto&&...) { return multiply_adds(d.batch * d.M * d.N * d.K); }};
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

#include "ops/work.h"
#include "tensor/allocator.h"
#include "tensor/device_runtime.h"
#include "tensor/tensor.h"

namespace tessera {

// A device does not have the kernel that is asked for: a gap, where every other error is a fault.
class MissingKernel : public Error {
 public:
  MissingKernel(const char* table, const std::string& message) : Error(message), table_(table) {}
  const char* table() const { return table_; }

 private:
  const char* table_;
};

// What all tables have in common: the name, the list of all tables, and the errors.
class KernelTableBase {
 public:
  const char* name() const { return name_; }
  bool supports(DeviceKind kind) const { return present_[static_cast<size_t>(kind)]; }

  // Every table that has at least one kernel, by name. `tessera info --ops` prints it.
  static std::vector<const KernelTableBase*> all();

 protected:
  constexpr explicit KernelTableBase(const char* name) : name_(name) {}
  void enlist(DeviceKind kind);  // throws when the device already has a kernel
  void check_device(const Tensor& tensor, int position, std::optional<Device>& device) const;
  [[noreturn]] void throw_missing(Device device) const;

 private:
  const char* name_;
  std::array<bool, kDeviceKinds> present_{};
  KernelTableBase* next_ = nullptr;
  bool listed_ = false;
};

template <class Function>
class KernelTable;

template <class... Args>
class KernelTable<void(Args...)> : public KernelTableBase {
 public:
  using Kernel = void (*)(Args...);
  constexpr explicit KernelTable(const char* name) : KernelTableBase(name) {}
  template <class Formula>  // a lambda without captures
  constexpr KernelTable(const char* name, Formula)
      : KernelTableBase(name), work_([](Args... args) { return Formula()(args...); }) {}

  bool add(DeviceKind kind, Kernel kernel) {
    enlist(kind);
    kernels_[static_cast<size_t>(kind)] = kernel;
    return true;
  }

  void operator()(Args... args) const {
    std::optional<Device> device;
    int position = 0;
    (inspect(args, position++, device), ...);
    if (!device) device = Device{};
    const Kernel kernel = kernels_[static_cast<size_t>(device->kind)];
    if (!kernel) throw_missing(*device);
    const OpScope scope(name());
    const DeviceScope device_scope(name(), *device);
    kernel(std::forward<Args>(args)...);
    if (WorkListener* listener = WorkListener::current()) {
      const Tensor* result = nullptr;
      (find_result(args, result), ...);
      listener->ran(name(), work_ ? work_(args...) : Work{}, result ? result->shape() : Shape());
    }
  }

 private:
  template <class T>
  void inspect(const T& argument, int position, std::optional<Device>& device) const {
    if constexpr (std::is_same_v<T, Tensor>) check_device(argument, position, device);
  }

  // A kernel's outputs are its tensors that are not const; the main one stands last.
  template <class T>
  static void find_result(T& argument, const Tensor*& result) {
    if constexpr (std::is_same_v<T, Tensor>) result = &argument;
  }

  std::array<Kernel, kDeviceKinds> kernels_{};
  Work (*work_)(Args...) = nullptr;
};

// F::kName + "_backward", ended by a 0
template <class F>
inline constexpr auto kBackwardName = [] {
  constexpr std::string_view name = F::kName, end = "_backward";
  std::array<char, name.size() + end.size() + 1> text{};
  std::copy(end.begin(), end.end(), std::copy(name.begin(), name.end(), text.begin()));
  return text;
}();

}  // namespace tessera
