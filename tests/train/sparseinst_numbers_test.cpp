// Parameters and FLOPs of every SparseInst configuration, against a count by hand from the sizes of its layers.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "cli/measure.h"
#include "tests/support/paths.h"
#include "train/config.h"

using namespace tessera;

namespace {

const std::filesystem::path kFolder = test::source_dir() / "configs" / "sparseinst";

struct Map {
  i64 height, width;
  i64 pixels() const { return height * width; }
  Map down(i64 factor) const { return {height / factor, width / factor}; }
};

// Adds up layers. FLOPs as fvcore counts them: docs/numbers.md.
struct Count {
  i64 parameters = 0, flops = 0;

  void conv(i64 in, i64 out, i64 kernel, Map to, i64 groups = 1, bool bias = true) {
    const i64 weights = out * in / groups * kernel * kernel;
    parameters += weights + (bias ? out : 0);
    flops += weights * to.pixels();
  }
  void linear(i64 in, i64 out, i64 rows) {
    parameters += in * out + out;
    flops += in * out * rows;
  }
  void deformable(i64 in, i64 out, Map to, i64 offsets, bool bias) {
    conv(in, offsets, 3, to);
    parameters += out * in * 9 + (bias ? out : 0);
  }
};

void conv_norm(Count& count, const BackboneConfig& c, i64 in, i64 out, i64 kernel, Map to, bool deformable = false) {
  if (deformable)
    count.deformable(in, out, to, 18, false);
  else
    count.conv(in, out, kernel, to, 1, false);
  if (c.norm == nn::Norm::kBatch) count.parameters += 2 * out;
  count.flops += 2 * out * to.pixels();
}

void resnet(Count& count, const BackboneConfig& c, Map image) {
  const bool tiny = c.kind == BackboneKind::kTiny, deep = c.kind == BackboneKind::kResNet101;
  const bool bottleneck = deep || c.kind == BackboneKind::kResNet50;
  const std::array<i64, 4> blocks = tiny                                ? std::array<i64, 4>{1, 1, 1, 1}
                                    : c.kind == BackboneKind::kResNet18 ? std::array<i64, 4>{2, 2, 2, 2}
                                    : deep                              ? std::array<i64, 4>{3, 4, 23, 3}
                                                                        : std::array<i64, 4>{3, 4, 6, 3};
  const std::array<i64, 4> widths = tiny         ? std::array<i64, 4>{32, 64, 96, 128}
                                    : bottleneck ? std::array<i64, 4>{256, 512, 1024, 2048}
                                                 : std::array<i64, 4>{64, 128, 256, 512};
  const i64 stem = tiny ? 16 : 64;
  if (c.deep_stem) {
    conv_norm(count, c, 3, 32, 3, image.down(2));
    conv_norm(count, c, 32, 32, 3, image.down(2));
    conv_norm(count, c, 32, 64, 3, image.down(2));
  } else {
    conv_norm(count, c, 3, stem, tiny ? 3 : 7, image.down(2));
  }
  i64 in = stem, stride = tiny ? 2 : 4;
  for (size_t s = 0; s < 4; ++s) {
    const Map before = image.down(stride);
    if (s > 0 || tiny) stride *= 2;
    const Map here = image.down(stride);
    const bool deform = c.deform != nn::Deform::kNone && static_cast<i64>(s) + 2 >= c.deform_from;
    for (i64 b = 0; b < blocks[s]; ++b, in = widths[s]) {
      const i64 out = widths[s], mid = out / 4;
      if (in != out) conv_norm(count, c, in, out, 1, here);
      if (bottleneck) {
        conv_norm(count, c, in, mid, 1, b == 0 && !c.stride_in_1x1 ? before : here);
        conv_norm(count, c, mid, mid, 3, here, deform);
        conv_norm(count, c, mid, out, 1, here);
      } else {
        conv_norm(count, c, in, out, 3, here);
        conv_norm(count, c, out, out, 3, here, deform);
      }
    }
  }
}

void mobilenet_v2(Count& count, const BackboneConfig& c, Map image) {
  const auto depthwise = [&](i64 channels, Map to) {
    count.conv(channels, channels, 3, to, channels, false);
    if (c.norm == nn::Norm::kBatch) count.parameters += 2 * channels;
    count.flops += 2 * channels * to.pixels();
  };
  conv_norm(count, c, 3, 32, 3, image.down(2));
  i64 in = 32, stride = 2;
  for (const auto& [out, blocks, down] :
       {std::array<i64, 3>{16, 1, 1}, {24, 2, 2}, {32, 3, 2}, {64, 4, 2}, {96, 3, 1}, {160, 3, 2}, {320, 1, 1}})
    for (i64 b = 0; b < blocks; ++b, in = out) {
      const i64 wide = out == 16 ? in : 6 * in;
      if (wide != in) conv_norm(count, c, in, wide, 1, image.down(stride));
      if (b == 0) stride *= down;
      depthwise(wide, image.down(stride));
      conv_norm(count, c, wide, out, 1, image.down(stride));
    }
  conv_norm(count, c, 320, 1280, 1, image.down(32));
}

void darknet(Count& count, const BackboneConfig& c, Map image) {
  const bool partial = c.kind == BackboneKind::kCspDarkNet53;
  conv_norm(count, c, 3, 32, 3, image);
  i64 in = 32, stride = 1;
  for (const i64 blocks : {1, 2, 8, 8, 4}) {
    const i64 out = 2 * in;
    const Map map = image.down(stride *= 2);
    conv_norm(count, c, in, out, 3, map);
    const i64 wide = partial && in > 32 ? out / 2 : out, inner = in == 32 ? 32 : partial ? wide : wide / 2;
    if (partial) conv_norm(count, c, out, 2 * wide, 1, map);
    for (i64 b = 0; b < blocks; ++b) {
      conv_norm(count, c, wide, inner, 1, map);
      conv_norm(count, c, inner, wide, 3, map);
    }
    if (partial) {
      conv_norm(count, c, wide, wide, 1, map);
      conv_norm(count, c, 2 * wide, out, 1, map);
    }
    in = out;
  }
}

void pvt_v2(Count& count, const BackboneConfig& c, Map image) {
  const bool linear = c.kind == BackboneKind::kPvtV2B2Linear;
  const auto layer_norm = [&](i64 channels, i64 pixels) {
    count.parameters += 2 * channels;
    count.flops += 5 * channels * pixels;
  };
  i64 in = 3, stride = 4;
  for (const auto& [C, ratio, side, blocks] : {std::array<i64, 4>{64, 8, 8, linear ? 3 : 2},
                                               {128, 8, 4, linear ? 4 : 2},
                                               {320, 4, 2, linear ? 6 : 2},
                                               {512, 4, 1, linear ? 3 : 2}}) {
    const Map map = image.down(stride), reduced = linear ? Map{7, 7} : Map{map.height / side, map.width / side};
    const i64 P = map.pixels(), K = reduced.pixels();
    count.conv(in, C, in == 3 ? 7 : 3, map);
    layer_norm(C, P);
    for (i64 b = 0; b < blocks; ++b) {
      layer_norm(C, P);
      count.linear(C, C, P);
      if (linear) count.flops += C * P;  // pooled
      if (linear || side > 1) {
        count.conv(C, C, linear ? 1 : side, reduced);
        layer_norm(C, K);
      }
      count.linear(C, 2 * C, K);
      count.flops += 2 * P * K * C;
      count.linear(C, C, P);
      layer_norm(C, P);
      count.linear(C, ratio * C, P);
      count.conv(ratio * C, ratio * C, 3, map, ratio * C);
      count.linear(ratio * C, C, P);
    }
    layer_norm(C, P);
    in = C;
    stride *= 2;
  }
}

void backbone(Count& count, const BackboneConfig& c, Map image) {
  using enum BackboneKind;
  if (c.kind == kMobileNetV2) return mobilenet_v2(count, c, image);
  if (c.kind == kDarkNet53 || c.kind == kCspDarkNet53) return darknet(count, c, image);
  if (c.kind == kPvtV2B1 || c.kind == kPvtV2B2Linear) return pvt_v2(count, c, image);
  resnet(count, c, image);
}

void encoder(Count& count, const sparseinst::Config& c, Map image) {
  const i64 C = c.encoder.channels;
  const bool tiny = c.backbone.kind == BackboneKind::kTiny, small = c.backbone.kind == BackboneKind::kResNet18;
  using enum BackboneKind;
  const BackboneKind kind = c.backbone.kind;
  const std::array<i64, 3> inputs = kind == kMobileNetV2                          ? std::array<i64, 3>{32, 96, 1280}
                                    : kind == kDarkNet53 || kind == kCspDarkNet53 ? std::array<i64, 3>{256, 512, 1024}
                                    : kind == kPvtV2B1 || kind == kPvtV2B2Linear  ? std::array<i64, 3>{128, 320, 512}
                                    : tiny                                        ? std::array<i64, 3>{64, 96, 128}
                                    : small                                       ? std::array<i64, 3>{128, 256, 512}
                                                                                  : std::array<i64, 3>{512, 1024, 2048};
  const std::array<Map, 3> maps = {image.down(8), image.down(16), image.down(32)};
  for (size_t i = 0; i < 3; ++i) {
    count.conv(inputs[i], C, 1, maps[i]);
    if (i == 0 || c.encoder.fusion) count.conv(C, C, 3, maps[i]);
    if (i < 2) count.flops += C * maps[i].pixels();  // nearest
  }
  if (c.encoder.ppm) {
    for (const i64 bins : {1, 2, 3, 6}) {
      count.flops += C * maps[2].pixels();  // mean of the bins
      count.conv(C, C / 4, 1, {bins, bins});
      count.flops += 4 * (C / 4) * maps[2].pixels();  // bilinear
    }
    count.conv(2 * C, C, 1, maps[2]);
  }
  if (c.encoder.fusion) {
    count.flops += 2 * 4 * C * maps[0].pixels();
    count.conv(3 * C, C, 1, maps[0]);
  }
}

void decoder(Count& count, const sparseinst::Config& c, Map image) {
  const Map map = image.down(8);
  const i64 W = c.decoder.width, Q = c.num_masks, P = map.pixels(), G = c.iam.groups, M = c.kernel_dim;
  for (int stack = 0; stack < 2; ++stack)
    for (i64 j = 0; j < c.decoder.depth; ++j) {
      const i64 in = j > 0 ? W : c.encoder.channels + (c.decoder.coords ? 2 : 0);
      if (j + 1 == c.decoder.depth && c.decoder.dconv != nn::Deform::kNone)
        count.deformable(in, W, map, 27, true);
      else
        count.conv(in, W, 3, map);
    }
  i64 D = W;
  if (c.iam.cross_attention) {
    count.parameters += Q * W;
    count.linear(W, W, Q);  // queries
    count.linear(W, W, P);  // keys
    count.linear(W, W, P);  // values
    count.linear(W, W, Q);  // output
    count.flops += 2 * Q * P * W;
  } else {
    D = G * W;
    if (c.iam.kernel == sparseinst::IamKernel::kTwo3x3) count.conv(W, W, 3, map);
    count.conv(W, Q * G, c.iam.kernel == sparseinst::IamKernel::k1x1 ? 1 : 3, map, G);
    if (c.iam.activation == sparseinst::IamActivation::kSoftmax) count.parameters += 1;
    count.flops += P * Q * G * W;
    if (G > 1 && c.iam.fc) count.linear(D, D, Q);
  }
  count.linear(D, c.num_classes, Q);
  count.linear(D, M, Q);
  if (c.loss.objectness != sparseinst::ObjectnessLoss::kNone) count.linear(D, 1, Q);
  count.conv(W, M, 1, map);
  count.flops += P * Q * M + 4 * Q * c.scale_factor * c.scale_factor * P;
}

Count count_of(const sparseinst::Config& config, Map image) {
  Count count;
  backbone(count, config.backbone, image);
  encoder(count, config, image);
  decoder(count, config, image);
  return count;
}

// What decides about layers: configurations that differ in losses alone are built once.
std::string architecture_of(sparseinst::Config config) {
  const bool objectness = config.loss.objectness != sparseinst::ObjectnessLoss::kNone;
  config.loss = {};
  config.matcher = {};
  config.inference = {};
  return to_toml(options_of(config)) + (objectness ? "" : "without objectness");
}

}  // namespace

TEST_CASE("numbers: the count by hand is the published one") {
  struct Known {
    const char* config;
    i64 parameters;
    double giga;  // at 640 x 640
  };
  for (const Known& known : {Known{"r50_base", 31'584'373, 73.4995},
                             {"r50_giam", 32'794'785, 74.1119},
                             {"r50_giam_soft", 32'794'786, 74.1119},
                             {"r50_dcn_giam", 33'292'611, 66.1161},
                             {"r50vd_giam", 32'813'889, 76.0813},
                             {"r50vd_dcn_giam", 33'311'715, 68.0855},
                             {"r101_giam", 51'734'689, 104.4993},
                             {"r101_dcn_giam", 52'937'845, 81.5883},
                             {"cspdarknet53_giam", 35'498'306, 80.8711},
                             {"darknet53_giam", 49'466'049, 98.0125},
                             {"pvt_v2_b1_giam", 22'164'129, 61.2523},
                             {"pvt_v2_b2_li_giam", 30'708'641, 69.8392}}) {
    CAPTURE(known.config);
    const Config config = read_config(kFolder / (std::string(known.config) + ".toml"));
    const Count count = count_of(std::get<sparseinst::Config>(config.model.network), {640, 640});
    CHECK(count.parameters == known.parameters);
    CHECK(static_cast<double>(count.flops) / 1e9 == doctest::Approx(known.giga).epsilon(1e-6));
  }
}

TEST_CASE("numbers: every configuration has the parameters and does the arithmetic that its layers say") {
  std::set<std::string> backbones, models;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kFolder)) {
    if (entry.path().extension() != ".toml") continue;
    Config config = read_config(entry.path());
    sparseinst::Config& sparseinst = std::get<sparseinst::Config>(config.model.network);
    if (!models.insert(architecture_of(sparseinst)).second) continue;
    if (!backbones.insert(to_toml(options_of(sparseinst.backbone))).second)
      sparseinst.backbone = {.kind = BackboneKind::kTiny};  // built before: initial weights take their time
    CAPTURE(entry.path().string());
    const std::unique_ptr<Segmenter> model = make_model(config.model, 1);
    const nn::ModuleRun run = measure_modules(*model, measured_batch(config, ImageSize{64, 96})).front();
    const Count count = count_of(sparseinst, {64, 96});
    CHECK(run.parameters == count.parameters);
    CHECK(run.work.published == count.flops);
  }
  CHECK(models.size() >= 20);
  CHECK(backbones.size() >= 8);
}
