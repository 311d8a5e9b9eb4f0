// The safetensors file format: an 8-byte little-endian header length, a JSON header, the tensors' bytes.
//
// Reading maps the file and checks every offset, shape and dtype against the file's size before any tensor is handed
// out; tensors are views of the mapping (copy-on-write). I8, I16, U16 and U32, which ours lack, are widened
// (tensor/stored.h). Writing is atomic: a temporary file beside the target, fsync, rename. An interrupted or failed
// write leaves the previous file whole.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace tessera {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

class SafeTensors {
 public:
  // Opens and validates. Throws Error naming the file and the first thing that is wrong with it.
  static SafeTensors open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }  // in the file's order of offsets
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool contains(const std::string& name) const { return index_.contains(name); }
  const Tensor& operator[](const std::string& name) const;  // throws when absent, naming file and tensor

 private:
  std::filesystem::path path_;
  std::vector<NamedTensor> tensors_;
  std::map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

void save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace tessera
