#include "tensor/device_branch.h"

#include "tensor/device_runtime.h"
#include "tensor/error.h"

namespace tessera {

DeviceBranch::Beside::Beside(DeviceBranch& branch) : branch_(branch) {
  const DeviceRuntime& runtime = device_runtime(branch.device_.kind);
  if (!runtime.begin_branch || !BranchMemory::available(branch.device_)) return;
  runtime.begin_branch(branch.device_.index);
  branch.memory_.emplace(branch.device_);
  branch.memory_->use(true);
}

DeviceBranch::Beside::~Beside() {
  if (!branch_.memory_) return;
  branch_.memory_->use(false);
  device_runtime(branch_.device_.kind).end_branch();
}

void DeviceBranch::join() {
  if (!memory_) return;
  device_runtime(device_.kind).join_branch(device_.index);
  memory_.reset();
}

DeviceBranch::~DeviceBranch() {
  try {
    join();
  } catch (const Error&) {  // what comes next on the device says the same
  }
}

}  // namespace tessera
