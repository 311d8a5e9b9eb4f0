#include "ops/kernel_table.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace tessera {

constinit thread_local WorkListener* WorkListener::current_ = nullptr;

namespace {
constinit KernelTableBase* first_table = nullptr;
}

void KernelTableBase::enlist(DeviceKind kind) {
  TESSERA_CHECK(!supports(kind), "{}: device {} already has a kernel", name_, tessera::name_of(kind));
  present_[static_cast<size_t>(kind)] = true;
  if (listed_) return;
  listed_ = true;
  next_ = first_table;
  first_table = this;
}

std::vector<const KernelTableBase*> KernelTableBase::all() {
  std::vector<const KernelTableBase*> tables;
  for (const KernelTableBase* table = first_table; table; table = table->next_) tables.push_back(table);
  std::sort(tables.begin(), tables.end(),
            [](const auto* a, const auto* b) { return std::strcmp(a->name(), b->name()) < 0; });
  return tables;
}

void KernelTableBase::check_device(const Tensor& tensor, int position, std::optional<Device>& device) const {
  if (!tensor.defined()) return;
  if (!device) device = tensor.device();
  TESSERA_CHECK(*device == tensor.device(),
                "{}: argument {} {} is on {}, the arguments before it on {}; move it with to()", name_, position,
                tensor.shape(), tensor.device(), *device);
}

void KernelTableBase::throw_missing(Device device) const {
  std::string known;
  for (int kind = 0; kind < kDeviceKinds; ++kind)
    if (supports(static_cast<DeviceKind>(kind)))
      known += (known.empty() ? "" : ", ") + std::string(tessera::name_of(static_cast<DeviceKind>(kind)));
  throw MissingKernel(name_, fmt::format("{}: no kernel for device {}; it exists for {} (see `tessera info --ops`)",
                                         name_, device, known.empty() ? "no device" : known));
}

}  // namespace tessera
