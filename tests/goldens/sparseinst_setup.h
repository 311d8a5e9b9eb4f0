// What a golden file of SparseInst describes: the network with its parameters, the pictures and the objects, all
// generated from their names and the file's metadata.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/sparseinst/sparseinst.h"
#include "tensor/safetensors.h"

namespace tessera::goldens {

class SparseInstSetup {
 public:
  explicit SparseInstSetup(const SafeTensors& file) : file_(file) {}

  // Metadata; config.* is JSON. Absent ones are errors.
  std::string text(const std::string& key) const;
  nlohmann::json config(const std::string& key) const { return nlohmann::json::parse(text("config." + key)); }

  // With the parameters of the file `weights`, or else those generated from their names.
  std::unique_ptr<sparseinst::SparseInst> model(const std::filesystem::path& weights) const;
  std::vector<ImageSize> sizes() const;      // of the two pictures
  std::vector<ImageSize> originals() const;  // of the files they stand for

  // The first sizes.size() pictures, padded to the largest, with or without their objects. The pictures are floats from
  // the start: images() has them, the samples' bytes mean nothing.
  Batch batch(const std::vector<ImageSize>& sizes, bool with_targets) const;
  Tensor images(const Batch& batch) const;  // [N, H, W, 3]

 private:
  Tensor parameter(const std::string& name, const Shape& shape, bool of_norm) const;
  void draw_picture(i64 k, ImageSize size, ImageSize padded, float* place) const;
  Targets targets(i64 k, ImageSize size) const;

  const SafeTensors& file_;
};

}  // namespace tessera::goldens
