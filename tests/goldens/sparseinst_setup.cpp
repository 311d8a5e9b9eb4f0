#include "tests/goldens/sparseinst_setup.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/goldens/fill.h"
#include "train/weights.h"

namespace tessera::goldens {

namespace {

ImageSize size_from(const nlohmann::json& pair) {
  return {pair.at(0).get<i64>(), pair.at(1).get<i64>()};
}

}  // namespace

std::string SparseInstSetup::text(const std::string& key) const {
  const auto found = file_.metadata().find(key);
  TESSERA_CHECK(found != file_.metadata().end(), "{}: metadata {} is missing", file_.path().string(), key);
  return found->second;
}

std::vector<ImageSize> SparseInstSetup::sizes() const {
  return {size_from(config("size")), size_from(config("size2"))};
}

std::vector<ImageSize> SparseInstSetup::originals() const {
  std::vector<ImageSize> result;
  for (const nlohmann::json& pair : config("orig")) result.push_back(size_from(pair));
  return result;
}

std::unique_ptr<sparseinst::SparseInst> SparseInstSetup::model(const std::filesystem::path& weights) const {
  sparseinst::Config c;
  const std::string decoder = config("decoder"), backbone = config("backbone");
  c.iam.groups = decoder == "iam" ? 1 : 4;
  c.iam.activation = decoder == "giam_soft" ? sparseinst::IamActivation::kSoftmax : sparseinst::IamActivation::kSigmoid;
  c.backbone.deep_stem = backbone.starts_with("r50vd");
  c.backbone.deform = backbone.ends_with("_dcn") ? nn::Deform::kV1 : nn::Deform::kNone;
  Random random(0);
  auto model = std::make_unique<sparseinst::SparseInst>(c, random);
  if (!weights.empty()) {
    load_weights(*model, read_weights_file(weights), nn::Strictness::kExact);
    return model;
  }

  const std::vector<nn::StateEntry> entries = nn::state(*model);
  std::set<std::string> names;
  for (const nn::StateEntry& entry : entries) names.insert(entry.name);
  std::vector<NamedTensor> values;
  for (const nn::StateEntry& entry : entries) {
    const std::string owner = entry.name.substr(0, entry.name.rfind('.'));
    const Shape shape = nn::to_theirs(entry.tensor, entry.layout).shape();
    values.push_back({entry.name, parameter(entry.name, shape, names.contains(owner + ".running_var"))});
  }
  nn::load_state(*model, values, nn::Strictness::kExact, true);
  return model;
}

// In the reference's layout. Of u in [0, 1): weights (2u - 1) bound, biases (2u - 1) 0.05; of a norm the weight and the
// variance 0.75 + 0.5 u, bias and mean (2u - 1) 0.1.
Tensor SparseInstSetup::parameter(const std::string& name, const Shape& shape, bool of_norm) const {
  const std::string last = name.substr(name.rfind('.') + 1);
  if (last == "softmax_bias") return Tensor::full(shape, 1);
  const bool positive = of_norm && (last == "weight" || last == "running_var");
  double bound = of_norm ? 0.1 : 0.05;
  if (last == "weight" && !of_norm) {
    double gain = 0;
    for (const nlohmann::json& rule : nlohmann::json::parse(text("gain_rules")))
      if (gain == 0 && name.find(rule.at(0).get<std::string>()) != std::string::npos) gain = rule.at(1);
    TESSERA_CHECK(gain != 0, "{}: no gain rule for {}", file_.path().string(), name);
    bound = std::sqrt(3 / static_cast<double>(shape.numel(1, shape.rank()))) * gain;
  }
  const u64 hash = fnv1a64(config("prefix").get<std::string>() + name);
  Tensor value = Tensor::empty(shape);
  float* data = value.data<float>();
  for (i64 i = 0; i < value.numel(); ++i) {
    const double u = uniform01(hash, i);
    data[i] = static_cast<float>(positive ? 0.75 + 0.5 * u : (2 * u - 1) * bound);
  }
  return value;
}

// Picture k of the generator at the top left of `place`, an [H, W, 3] part of a batch.
void SparseInstSetup::draw_picture(i64 k, ImageSize size, ImageSize padded, float* place) const {
  const std::string name = fmt::format("{}input.{}", config("prefix").get<std::string>(), k);
  const u64 fine = fnv1a64(name), coarse = fnv1a64(name + ".block");
  const i64 hb = (size.height + 15) / 16, wb = (size.width + 15) / 16;
  for (i64 c = 0; c < 3; ++c)
    for (i64 y = 0; y < size.height; ++y)
      for (i64 x = 0; x < size.width; ++x) {
        const double uf = uniform01(fine, (c * size.height + y) * size.width + x);
        const double ub = uniform01(coarse, (c * hb + y / 16) * wb + x / 16);
        place[(y * padded.width + x) * 3 + c] = static_cast<float>(1.2 * (2 * ub - 1) + 0.9 * (2 * uf - 1));
      }
}

// The objects of picture k: rectangles and ellipses with integer geometry.
Targets SparseInstSetup::targets(i64 k, ImageSize size) const {
  const Tensor& rows = file_[fmt::format("batch.target.{}.shapes", k)];
  const i64 K = rows.dim(0);
  Targets result{Tensor::zeros({K, size.height, size.width}, DType::kU8), Tensor::empty({K}, DType::kI64),
                 Tensor::zeros({K, 4}), std::vector<i64>(static_cast<size_t>(K))};
  for (i64 j = 0; j < K; ++j) {
    const i64* r = rows.data<i64>() + j * 6;
    result.classes.data<i64>()[j] = r[5];
    for (i64 y = 0; y < size.height; ++y)
      for (i64 x = 0; x < size.width; ++x) {
        bool inside;
        if (r[0] == 0) {
          inside = y >= r[1] && y < r[3] && x >= r[2] && x < r[4];
        } else {
          const i64 a = (2 * x + 1 - r[2]) * r[3], b = (2 * y + 1 - r[1]) * r[4], c = 2 * r[4] * r[3];
          inside = a * a + b * b <= c * c;
        }
        result.masks.data<u8>()[(j * size.height + y) * size.width + x] = inside;
      }
  }
  return result;
}

Batch SparseInstSetup::batch(const std::vector<ImageSize>& sizes, bool with_targets) const {
  std::vector<Sample> samples(sizes.size());
  for (size_t k = 0; k < sizes.size(); ++k) {
    const i64 n = static_cast<i64>(k);
    samples[k].image = Tensor::empty({sizes[k].height, sizes[k].width, 3}, DType::kU8);
    samples[k].image_id = n;
    if (with_targets) samples[k].targets = targets(n, sizes[k]);
  }
  return make_batch(std::move(samples));
}

Tensor SparseInstSetup::images(const Batch& batch) const {
  const auto [height, width] = batch.padded;
  Tensor images = Tensor::zeros({batch.size(), height, width, 3});
  for (i64 n = 0; n < batch.size(); ++n)
    draw_picture(n, batch.size_of(n), batch.padded, images.data<float>() + n * height * width * 3);
  return images;
}

}  // namespace tessera::goldens
