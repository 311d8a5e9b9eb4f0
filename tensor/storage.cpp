#include "tensor/storage.h"

#include "tensor/allocator.h"

namespace tessera {

Storage::Storage(void* data, size_t bytes, Device device, std::shared_ptr<const void> owner)
    : data_(data), bytes_(bytes), device_(device), owner_(std::move(owner)) {}

Storage::~Storage() {
  if (!owner_) deallocate(data_, bytes_, device_);
}

std::shared_ptr<Storage> Storage::allocate(size_t bytes, Device device) {
  return std::shared_ptr<Storage>(new Storage(tessera::allocate(bytes, device), bytes, device, nullptr));
}

std::shared_ptr<Storage> Storage::borrow(void* data, size_t bytes, std::shared_ptr<const void> owner) {
  TESSERA_CHECK(owner, "a borrowed storage needs an owner");
  return std::shared_ptr<Storage>(new Storage(data, bytes, Device{}, std::move(owner)));
}

}  // namespace tessera
