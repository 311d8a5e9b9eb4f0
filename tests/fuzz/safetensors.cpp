#include "tensor/safetensors.h"

#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  const SafeTensors tensors = SafeTensors::open(file.path());
  for (const NamedTensor& entry : tensors.tensors()) (void)entry.tensor.to(DType::kF64);
}
