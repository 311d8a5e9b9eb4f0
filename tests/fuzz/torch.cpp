// .pth, .pt and .pkl: zip, pickle, the tensors in them.
#include "tensor/weights_file.h"
#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  for (const NamedTensor& entry : read_weights_file(file.path()).tensors) (void)entry.tensor.to(DType::kF64);
}
