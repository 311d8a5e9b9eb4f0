// .pth, .pt and .pkl: zip, pickle, the tensors in them. A pickle is also read from the bytes themselves, whose end
// AddressSanitizer guards more closely than that of a mapped file.
#include "tensor/pickled_tensors.h"
#include "tensor/weights_file.h"
#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  if (bytes.starts_with('\x80')) (void)pickle::Pickle(bytes, "x", tensor_globals());
  for (const NamedTensor& entry : read_weights_file(file.path()).tensors) (void)entry.tensor.to(DType::kF64);
}
