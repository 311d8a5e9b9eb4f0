// .pth, .pt and .pkl: zip, pickle, the tensors in them, and what their names have in common. A pickle is also read from
// the bytes themselves, whose end AddressSanitizer guards more closely than that of a mapped file.
#include "tensor/pickled_tensors.h"
#include "tensor/weights_file.h"
#include "tests/fuzz/fuzz.h"
#include "train/weight_names.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  if (bytes.starts_with('\x80')) (void)pickle::Pickle(bytes, "x", tensor_globals());
  const WeightsFile weights = read_weights_file(file.path());
  NamesInFile names{.dicts = weights.dicts, .weights = weights.weights};
  for (const NamedTensor& entry : weights.tensors) {
    (void)entry.tensor.to(DType::kF64);
    names.tensors.emplace(entry.name, entry.tensor.shape());
  }
  (void)find_name_rule(names, {{"backbone.stem.conv1.weight", {2, 3, 2, 2}}, {"w", {2}}, {"bool", {2, 3}}});
}
