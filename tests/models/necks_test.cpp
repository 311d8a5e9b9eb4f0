// Necks: parameters, sizes and names as the reference's, what an FPN and the encoders' positions and masks are by hand.
// Whole forward and backward passes are checked by the goldens.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/necks/deform_encoder.h"
#include "models/necks/dino.h"
#include "models/necks/fpn.h"
#include "models/necks/neck.h"
#include "nn/intermediates.h"
#include "tests/cuda/other_device.h"
#include "tests/goldens/report.h"
#include "tests/support/check_error.h"

namespace tessera::test {

namespace {

const std::vector<FeatureLevel> kResNet50 = {{256, 4}, {512, 8}, {1024, 16}, {2048, 32}};
const std::vector<FeatureLevel> kNarrow = {{16, 4}, {24, 8}, {32, 16}, {40, 32}};

std::vector<FeatureLevel> from(i64 level, const std::vector<FeatureLevel>& all) {
  return {all.begin() + (level - 2), all.end()};
}

i64 parameters(const NeckConfig& config) {
  Random random(1);
  return nn::count_parameters(*make_neck(config, from(config.first_level, kResNet50), random));
}

Tensor random_tensor(const Shape& shape, u64 seed) {
  Tensor x = Tensor::empty(shape);
  Random(seed).fill_normal(x, 0, 1);
  return x;
}

std::vector<Var> random_maps(const std::vector<FeatureLevel>& levels, i64 N, ImageSize padded) {
  std::vector<Var> maps;
  for (const auto& [channels, stride] : levels)
    maps.emplace_back(
        random_tensor({N, (padded.height + stride - 1) / stride, (padded.width + stride - 1) / stride, channels},
                      static_cast<u64>(stride)),
        true);
  return maps;
}

// Three of each kind: all levels, fewer of them, a small width.
std::vector<NeckConfig> kinds() {
  const NeckConfig small{.channels = 64, .layers = 2, .heads = 4, .points = 2, .ffn = 48};
  NeckConfig short_fpn = small, dino = small, deform = small, fine = small, fixed = small;
  short_fpn.last_level = 6;
  dino.kind = fixed.kind = NeckKind::kDino;
  fixed.pe_order_bug = false;
  deform.kind = fine.kind = NeckKind::kDeformEncoder;
  deform.first_level = 3;
  fine.last_level = 5;
  return {small, short_fpn, dino, fixed, deform, fine};
}

}  // namespace

TEST_CASE("necks: the parameters of the published necks") {
  CHECK(parameters({}) == 4'524'544);
  CHECK(parameters({.first_level = 3}) == 3'868'672);
  CHECK(parameters({.kind = NeckKind::kDino}) == 11'642'432 + 394'752);
  CHECK(parameters({.kind = NeckKind::kDeformEncoder, .first_level = 3, .ffn = 2048}) == 6'228'480 + 7'842'368);
  CHECK(parameters({.kind = NeckKind::kDeformEncoder, .ffn = 2048}) == 6'294'528 + 7'990'656);
}

TEST_CASE("necks: names as in the reference's weights") {
  const auto names = [](NeckConfig config) {
    config.channels = 8;
    config.layers = 1;
    Random random(1);
    const std::unique_ptr<Neck> neck = make_neck(config, from(config.first_level, kNarrow), random);
    std::string text;
    for (const auto& [name, parameter] : nn::named_parameters(*neck))
      if (!name.ends_with("bias")) text += name + " ";
    return text;
  };
  CHECK(names({.first_level = 5, .last_level = 6}) ==
        "body.lateral_convs.0.conv.weight body.fpn_convs.0.conv.weight body.fpn_convs.1.conv.weight ");
  CHECK(names({.kind = NeckKind::kDeformEncoder, .first_level = 5, .last_level = 6}) ==
        "in_proj.convs.0.conv.weight in_proj.convs.0.gn.weight in_proj.extra_convs.0.conv.weight "
        "in_proj.extra_convs.0.gn.weight deform_encoder.lvl_embed "
        "deform_encoder.encoder.layers.0.self_attn.sampling_offsets.weight "
        "deform_encoder.encoder.layers.0.self_attn.attention_weights.weight "
        "deform_encoder.encoder.layers.0.self_attn.value_proj.weight "
        "deform_encoder.encoder.layers.0.self_attn.output_proj.weight deform_encoder.encoder.layers.0.norms.0.weight "
        "deform_encoder.encoder.layers.0.ffn.layers.0.0.weight deform_encoder.encoder.layers.0.ffn.layers.1.weight "
        "deform_encoder.encoder.layers.0.norms.1.weight ");
  const std::string dino = names({.kind = NeckKind::kDino});
  for (const char* name :
       {"dino.input_proj.4.0.weight", "dino.input_proj.4.1.weight", "dino.transformer.level_embed",
        "dino.transformer.encoder.layers.0.self_attn.value_proj.weight",
        "dino.transformer.encoder.layers.0.norm1.weight", "dino.transformer.encoder.layers.0.linear1.weight",
        "dino.transformer.encoder.layers.0.linear2.weight", "dino.transformer.encoder.layers.0.norm2.weight",
        "dino.mask_features.weight", "dino.adapter_1.weight", "dino.adapter_1.norm.weight", "dino.layer_1.weight",
        "dino.layer_1.norm.weight", "proj.sub_modules.5.weight"})
    CHECK_MESSAGE(dino.find(name) != std::string::npos, name);
}

TEST_CASE("necks: each level has the size of its stride, whatever the picture's, and everything gets a gradient") {
  const ImageSize padded{150, 210};
  for (const NeckConfig& config : kinds()) {
    CAPTURE(static_cast<int>(config.kind));
    CAPTURE(config.last_level);
    Random random(3);
    const std::vector<FeatureLevel> in = from(config.first_level, kNarrow);
    const std::unique_ptr<Neck> neck = make_neck(config, in, random);
    // The attention begins without an eye on its query: positions get no gradient before its weights have moved.
    for (const auto& [name, parameter] : nn::named_parameters(*neck))
      if (name.ends_with("sampling_offsets.weight") || name.ends_with("attention_weights.weight"))
        random.fill_normal(parameter->value(), 0, 0.1);
    const std::vector<Var> maps = random_maps(in, 2, padded);
    const std::vector<Var> pyramid = (*neck)(maps, {{150, 131}, {99, 210}}, padded);
    REQUIRE(pyramid.size() == neck->levels().size());
    CHECK(std::ssize(pyramid) == config.last_level - config.first_level + 1);
    Var total;
    for (size_t k = 0; k < pyramid.size(); ++k) {
      const auto [channels, stride] = neck->levels()[k];
      CHECK(stride == i64{1} << (config.first_level + static_cast<i64>(k)));
      CHECK(channels == config.channels);
      CHECK(pyramid[k].shape() ==
            Shape{2, (padded.height + stride - 1) / stride, (padded.width + stride - 1) / stride, channels});
      const Var term = sum(pyramid[k] * Var(random_tensor(pyramid[k].shape(), 40 + k)));
      total = total ? total + term : term;
    }
    total.backward();
    std::vector<std::pair<std::string, Var*>> all = nn::named_parameters(*neck);
    for (const auto& [name, parameter] : all) {
      CAPTURE(name);
      REQUIRE(parameter->grad().defined());
      float largest = 0;
      for (const float g : parameter->grad().span<float>()) {
        REQUIRE(std::isfinite(g));
        largest = std::max(largest, std::abs(g));
      }
      CHECK(largest > 1e-6F);
    }
    for (const Var& map : maps) CHECK(map.grad().defined());
  }
}

TEST_CASE("necks: levels that a neck does not have are refused") {
  Random random(1);
  CHECK_ERROR(make_neck({.first_level = 3}, kNarrow, random),
              "neck: maps at strides 8, 16, 32 are needed, the backbone gives 4, 8, 16, 32");
  CHECK_ERROR(make_neck({.kind = NeckKind::kDino, .last_level = 6}, kNarrow, random),
              "neck: dino gives P2 to P7, not P2 to P6");
  CHECK_ERROR(make_neck({.channels = 12}, kNarrow, random), "neck: channels must be");
  CHECK(strides_into({.first_level = 3}) == std::vector<i64>{8, 16, 32});
}

// With laterals and convolutions that copy, P4 = C4 + nearest(C5), P5 = C5, P6 every second cell of C5, and P7 of
// ReLU(P6).
TEST_CASE("FPN: top-down sums, and P6 and P7 from the top lateral") {
  Random random(1);
  FpnNeck fpn({.channels = 8, .first_level = 4}, {{8, 16}, {8, 32}}, random);
  for (const auto& [name, parameter] : nn::named_parameters(fpn)) {
    Tensor& value = parameter->value();
    value.fill(0);
    if (!name.ends_with("weight")) continue;
    const i64 kernel = value.dim(1), centre = kernel / 2 * (kernel + 1);
    for (i64 c = 0; c < 8; ++c) value.data<float>()[(c * kernel * kernel + centre) * 8 + c] = 1;
  }
  const Tensor c4 = random_tensor({1, 7, 10, 8}, 2), c5 = random_tensor({1, 4, 5, 8}, 3);
  const std::vector<Var> p = fpn({Var(c4), Var(c5)}, {}, {});
  REQUIRE(p.size() == 4);
  const auto at = [](const Tensor& map, i64 y, i64 x) { return map.data<float>()[(y * map.dim(2) + x) * 8]; };
  for (i64 y = 0; y < 7; ++y)
    for (i64 x = 0; x < 10; ++x)  // 7 rows of 4: row y reads floor(4 y / 7)
      CHECK(at(p[0].value(), y, x) == doctest::Approx(at(c4, y, x) + at(c5, 4 * y / 7, x / 2)));
  CHECK(at(p[1].value(), 3, 4) == doctest::Approx(at(c5, 3, 4)));
  CHECK(p[2].shape() == Shape{1, 2, 3, 8});
  for (i64 y = 0; y < 2; ++y)
    for (i64 x = 0; x < 3; ++x) CHECK(at(p[2].value(), y, x) == doctest::Approx(at(c5, 2 * y, 2 * x)));
  CHECK(p[3].shape() == Shape{1, 1, 2, 8});
  for (i64 x = 0; x < 2; ++x) CHECK(at(p[3].value(), 0, x) == doctest::Approx(std::max(0.0F, at(c5, 0, 4 * x))));
}

TEST_CASE("sine positions: y, then x, sine and cosine in turn, counted within the picture and 0 in rows of padding") {
  const Tensor positions = sine_positions({3, 4}, {{3, 4}, {2, 3}}, 8, 20, {});
  CHECK(positions.shape() == Shape{2, 12, 8});
  const auto expected = [](double cell, double cells, i64 j) {  // of 4 values per axis
    const double e = 2 * std::numbers::pi * cell / (cells + 1e-6) / std::pow(20.0, static_cast<double>(j / 2 * 2) / 4);
    return j % 2 == 0 ? std::sin(e) : std::cos(e);
  };
  const auto at = [&](i64 n, i64 y, i64 x, i64 c) { return positions.data<float>()[((n * 3 + y) * 4 + x) * 8 + c]; };
  for (i64 j = 0; j < 4; ++j) {
    CHECK(at(0, 1, 2, j) == doctest::Approx(expected(2, 3, j)));
    CHECK(at(0, 1, 2, 4 + j) == doctest::Approx(expected(3, 4, j)));
    CHECK(at(1, 1, 2, j) == doctest::Approx(expected(2, 2, j)));
    CHECK(at(1, 2, 2, j) == doctest::Approx(expected(2, 2, j)));      // below the picture: as its last row,
    CHECK(at(1, 2, 2, 4 + j) == doctest::Approx(expected(0, 3, j)));  // and no column begins in a row of padding
    CHECK(at(1, 1, 3, j) == doctest::Approx(expected(0, 2, j)));
    CHECK(at(1, 1, 3, 4 + j) == doctest::Approx(expected(3, 3, j)));
  }
}

TEST_CASE("dino: with the reference's fault the tokens of P7 and P6 have the positions of P6, then P7") {
  const ImageSize padded{256, 384};  // P7 2 x 3, P6 4 x 6
  for (const bool bug : {true, false}) {
    Random random(1);
    DinoEncoder dino({.kind = NeckKind::kDino, .channels = 64, .layers = 1, .pe_order_bug = bug}, kNarrow, random);
    const NoGrad no_grad;
    nn::Intermediates seen;
    dino(random_maps(kNarrow, 1, padded));
    const Tensor& positions = seen.at("positions");
    Tensor embedding;
    for (const auto& [name, parameter] : nn::named_parameters(dino))
      if (name.ends_with("level_embed")) embedding = parameter->value();
    i64 token = 0;
    for (const auto& [level, height, width] : bug ? std::vector<std::array<i64, 3>>{{0, 4, 6}, {1, 2, 3}}
                                                  : std::vector<std::array<i64, 3>>{{0, 2, 3}, {1, 4, 6}}) {
      const Tensor sine = sine_positions({height, width}, {{height, width}}, 64, 10000, {});
      for (i64 i = 0; i < height * width * 64; ++i)
        REQUIRE(positions.data<float>()[token * 64 + i] ==
                sine.data<float>()[i] + embedding.data<float>()[level * 64 + i % 64]);
      token += height * width;
    }
  }
}

TEST_CASE("deformable encoder: what stands in the padding of a picture changes nothing inside of it") {
  Random random(5);
  const NeckConfig config{.kind = NeckKind::kDeformEncoder, .channels = 32, .first_level = 3, .layers = 2, .ffn = 40};
  const DeformEncoder encoder(config, 5, random);
  const ImageSize picture{128, 256}, padded{256, 384};
  std::vector<Var> alone, batch;
  for (i64 stride = 8; stride <= 128; stride *= 2) {
    const i64 h = picture.height / stride, w = picture.width / stride;
    const Tensor inside = random_tensor({1, h, w, 32}, static_cast<u64>(stride));
    Tensor outside =
        random_tensor({1, padded.height / stride, padded.width / stride, 32}, static_cast<u64>(stride + 1));
    for (i64 y = 0; y < h; ++y)
      std::copy_n(inside.data<float>() + y * w * 32, w * 32, outside.data<float>() + y * outside.dim(2) * 32);
    alone.emplace_back(inside);
    batch.emplace_back(outside);
  }
  const NoGrad no_grad;
  const std::vector<Var> expected = encoder(alone, {picture}, picture), got = encoder(batch, {picture}, padded);
  for (size_t k = 0; k < expected.size(); ++k) {
    const Tensor &want = expected[k].value(), &have = got[k].value();
    for (i64 y = 0; y < want.dim(1); ++y)
      for (i64 i = 0; i < want.dim(2) * 32; ++i)
        REQUIRE(have.data<float>()[y * have.dim(2) * 32 + i] ==
                doctest::Approx(want.data<float>()[y * want.dim(2) * 32 + i]).epsilon(1e-4));
  }
  CHECK_ERROR(encoder(batch, {}, padded), "deform encoder: the sizes of 0 pictures for 1 of a batch");
}

TEST_CASE("necks: other devices compute what the CPU does, and in bf16 something near it") {
  const ImageSize padded{64, 64};
  const std::vector<ImageSize> sizes{{64, 50}, {40, 64}};
  for (const Device device : present_devices()) {
    if (device.kind == DeviceKind::kCpu) continue;
    for (const NeckKind kind : {NeckKind::kFpn, NeckKind::kDino, NeckKind::kDeformEncoder}) {
      CAPTURE(static_cast<int>(kind));
      const NeckConfig config{.kind = kind, .channels = 32, .layers = 1, .heads = 2, .points = 1, .ffn = 16};
      Random random(3);
      const std::vector<FeatureLevel> in = from(config.first_level, kNarrow);
      const std::unique_ptr<Neck> neck = make_neck(config, in, random);
      const auto run = [&](Device place, DType dtype) {  // the maps and the gradients of what it computes them from
        neck->to(place);
        neck->zero_grad();
        std::vector<Var> maps;
        for (const Var& map : random_maps(in, 2, padded)) maps.emplace_back(map.value().to(place).to(dtype), true);
        std::vector<Tensor> results;
        Var total;
        for (const Var& map : (*neck)(maps, sizes, padded)) {
          CHECK(map.value().dtype() == dtype);
          results.push_back(map.value().to_host().to(DType::kF32));
          const Var term = sum(cast(map, DType::kF32) * Var(random_tensor(map.shape(), 9).to(place)));
          total = total ? total + term : term;
        }
        total.backward();
        for (const Var& map : maps) results.push_back(map.grad().to_host().to(DType::kF32));
        return results;
      };
      const std::vector<Tensor> here = run({}, DType::kF32), there = run(device, DType::kF32),
                                narrow = run(device, DType::kBF16);
      for (size_t i = 0; i < here.size(); ++i) {
        CHECK(goldens::relative_error(there[i], here[i]) < kNearCpu);
        // P6 and P7 are one cell: of two values in a group nothing is left but which one is the larger.
        if (i < 3) CHECK(goldens::relative_error(narrow[i], here[i]) < 0.05);
        for (const float value : narrow[i].span<float>()) REQUIRE(std::isfinite(value));
      }
    }
  }
}

}  // namespace tessera::test
