// A block of memory on one device, shared by the tensors that view it and freed with the last of them.
#pragma once

#include <memory>

#include "tensor/device.h"

namespace tessera {

class Storage {
 public:
  // Uninitialised memory from the caching allocator.
  static std::shared_ptr<Storage> allocate(size_t bytes, Device device);
  // Memory that somebody else keeps (a mapped file); `owner` lives as long as the storage.
  static std::shared_ptr<Storage> borrow(void* data, size_t bytes, std::shared_ptr<const void> owner);

  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage();

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  Storage(void* data, size_t bytes, Device device, std::shared_ptr<const void> owner);

  void* data_;
  size_t bytes_;
  Device device_;
  std::shared_ptr<const void> owner_;  // null: the memory is ours
};

}  // namespace tessera
