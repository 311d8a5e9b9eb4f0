// MobileNetV2 against torchvision's: tests/oracle/mobilenet_v2.py tells how parameters, image and results are made.
#include "models/backbones/mobilenet_v2.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <set>
#include <span>

#include "nn/intermediates.h"
#include "tests/goldens/fill.h"
#include "tests/support/check_error.h"

using namespace tessera;

namespace {

using Results = std::array<std::array<double, 6>, 9>;  // six values of each row
constexpr Results kPaddedAround = {{
    {0, 0, 0, 2.28089684, 0.343640417, 1.80928084},
    {1.1628871, -1.10734677, 2.89807757, 1.89628702, 0.000310440404, -0.670555191},
    {-0.240351198, -0.388972247, 0.249120368, 0.270901704, -0.172043163, -0.536023283},
    {-0.912581941, 1.70812235, -1.29069427, 0.934415763, 0.770865756, -0.233578271},
    {6.5410056, 3.67815629, 4.88474277, 10.8689652, 8.79293926, 7.99838705},
    {1.21498708, -0.880581899, 0.373379006, 1.53912157, -1.51284428, -1.53090764},
    {-4.06626742, -0.205943383, 0.698949125, -2.41828294, -1.88047248, 2.2047138},
    {0.369274752, 0.841444271, -0.466213903, -0.542477308, -1.04161797, -2.47644669},
    {5.25148091, 6, 6, 2.39666841, 3.34537068, 3.15163655},
}};
constexpr Results kSamePadding = {{
    {0, 0, 0.436325225, 0, 1.42975886, 3.50748612},
    {0.781087916, 1.81025124, 0.571225164, 0.692874043, 0.97213968, 1.76331493},
    {-0.873842375, 0.181733653, 3.02212395, -0.306470197, 1.26549334, -0.195136924},
    {4.40329112, 2.76373335, 1.75557303, 2.69917832, 1.68074847, 3.90373106},
    {7.10410155, 9.88853971, 12.4160953, 18.6552891, 9.76499177, 7.48987344},
    {0.369261331, 0.0111088816, -4.49902175, 4.4320478, -2.5228702, -2.92195856},
    {1.764851, 3.10654334, 2.04396349, -0.60273959, -2.5030792, -1.31377008},
    {0.63048899, 0.731339688, -0.237761878, -1.11107175, -0.621994358, -1.9587517},
    {2.49844032, 6, 6, 1.48100755, 4.80402371, 3.56671879},
}};

MobileNetV2 make(const BackboneConfig& config, const std::vector<i64>& rows = {}) {
  Random random(2);
  return MobileNetV2(config, random, rows);
}

// Values by name, in torchvision's layout and under torchvision's names.
void fill_parameters(MobileNetV2& net) {
  const std::vector<nn::StateEntry> entries = nn::state(net);
  std::set<std::string> names;
  for (const nn::StateEntry& entry : entries) names.insert(entry.name);
  std::vector<NamedTensor> values;
  for (const nn::StateEntry& entry : entries) {
    const Shape shape = nn::to_theirs(entry.tensor, entry.layout).shape();
    const size_t dot = entry.name.rfind('.');
    const std::string owner = entry.name.substr(0, dot), last = entry.name.substr(dot + 1);
    double low = -0.2, high = 0.2;
    if (!names.contains(owner + ".running_var")) {
      high = 1.3 * std::sqrt(3 / static_cast<double>(shape.numel(1, shape.rank())));
      low = -high;
    } else if (last == "weight" || last == "running_var") {
      low = 0.5;
      high = 1.5;
    }
    values.push_back({entry.name, goldens::fill(entry.name, shape, low, high)});
  }
  nn::load_state(net, values, nn::Strictness::kExact, true);
}

Tensor image() {
  return nn::to_ours(goldens::fill("image", {1, 3, 64, 96}, -2, 2), nn::Layout::kConvOIHW);
}

}  // namespace

TEST_CASE("mobilenet_v2: all rows are torchvision's, with either padding and either norm") {
  const NoGrad no_grad;
  for (const bool same_padding : {false, true})
    for (const nn::Norm norm : {nn::Norm::kFrozenBatch, nn::Norm::kBatch}) {
      CAPTURE(same_padding);
      MobileNetV2 net = make({.kind = BackboneKind::kMobileNetV2, .norm = norm, .same_padding = same_padding},
                             {1, 2, 3, 4, 5, 6, 7, 8, 9});
      net.eval();
      CHECK(nn::state(net).size() == 260);  // torchvision's 314 less 52 num_batches_tracked and the classifier's two
      fill_parameters(net);
      const std::vector<Var> rows = net(Var(image()));
      REQUIRE(rows.size() == 9);
      for (size_t r = 0; r < rows.size(); ++r)
        for (size_t j = 0; j < 6; ++j) {
          CAPTURE(r + 1);
          CAPTURE(j);
          const std::span<const float> got = rows[r].value().span<float>();
          const double want = (same_padding ? kSamePadding : kPaddedAround)[r][j];
          CHECK(std::abs(static_cast<double>(got[(2 * j + 1) * got.size() / 12]) - want) < 1e-4);
        }
    }
}

TEST_CASE("mobilenet_v2: the outputs have the channels and strides that levels() tells") {
  const NoGrad no_grad;
  for (const double width : {0.35, 1.0}) {
    CAPTURE(width);
    MobileNetV2 net = make({.kind = BackboneKind::kMobileNetV2, .width = width});
    const nn::Intermediates intermediates;
    const std::vector<Var> outputs = net(Var(image()));
    REQUIRE(outputs.size() == 3);
    for (size_t i = 0; i < 3; ++i) {
      const auto [channels, stride] = net.levels()[i];
      CHECK(stride == i64{8} << i);
      CHECK(outputs[i].shape() == Shape{1, 64 / stride, 96 / stride, channels});
    }
    CHECK(intermediates.at("c1").dim(1) == 32);
    CHECK(intermediates.at("c3").dim(1) == 16);
    CHECK(intermediates.at("c9").shape() == outputs[2].shape());
    if (width == 1) CHECK(net.levels()[0].channels == 32);
    if (width == 1) CHECK(net.levels()[1].channels == 96);
    CHECK(net.levels()[2].channels == 1280);
  }
}

TEST_CASE("mobilenet_v2: rows that were asked for, of images of any size, with the sizes of PyTorch") {
  const NoGrad no_grad;
  const std::vector<i64> strides{2, 2, 4, 8, 16, 16, 32, 32, 32};
  for (const bool same_padding : {false, true})
    for (const auto& [H, W] : {std::pair<i64, i64>{33, 61}, {65, 34}, {1, 70}}) {
      CAPTURE(same_padding);
      CAPTURE(H);
      CAPTURE(W);
      const std::vector<i64> asked{1, 4, 5, 8};
      MobileNetV2 net = make({.kind = BackboneKind::kMobileNetV2, .width = 0.35, .same_padding = same_padding}, asked);
      const std::vector<Var> outputs = net(Var(Tensor::zeros({1, H, W, 3})));
      REQUIRE(outputs.size() == asked.size());
      for (size_t i = 0; i < asked.size(); ++i) {
        const auto [channels, stride] = net.levels()[i];
        CHECK(stride == strides[static_cast<size_t>(asked[i] - 1)]);
        CHECK(outputs[i].shape() == Shape{1, (H + stride - 1) / stride, (W + stride - 1) / stride, channels});
      }
      for (const nn::StateEntry& entry : nn::state(net)) CHECK(!entry.name.starts_with("features.18"));
    }
}

// TensorFlow pads an odd side before and after: an odd image is the even one with a row of zeros in front.
TEST_CASE("mobilenet_v2: TensorFlow's padding of an odd image is that of the image with zeros before it") {
  const NoGrad no_grad;
  MobileNetV2 net = make({.kind = BackboneKind::kMobileNetV2, .width = 0.35, .same_padding = true}, {1});
  Tensor odd = Tensor::empty({1, 7, 5, 3}), even = Tensor::zeros({1, 8, 6, 3});
  Random(3).fill_normal(odd, 0, 1);
  for (i64 y = 0; y < 7; ++y)
    for (i64 i = 0; i < 15; ++i) even.data<float>()[(y + 1) * 18 + 3 + i] = odd.data<float>()[y * 15 + i];
  const Tensor got = net(Var(odd))[0].value(), want = net(Var(even))[0].value();
  REQUIRE(got.shape() == want.shape());
  for (i64 i = 0; i < got.numel(); ++i)
    CHECK(got.data<float>()[i] == doctest::Approx(want.data<float>()[i]).epsilon(1e-5));
}

TEST_CASE("mobilenet_v2: parameters without the classifier are torchvision's at every width") {
  for (const auto& [width, parameters] :
       {std::pair{0.35, 396'128}, {0.5, 687'680}, {1.0, 2'223'872}, {1.4, 4'315'776}}) {
    CAPTURE(width);
    MobileNetV2 net = make({.kind = BackboneKind::kMobileNetV2, .norm = nn::Norm::kBatch, .width = width});
    CHECK(nn::count_parameters(net) == parameters);
  }
}

TEST_CASE("mobilenet_v2: wrong sizes and widths are errors") {
  MobileNetV2 net = make({.kind = BackboneKind::kMobileNetV2, .width = 0.35});
  CHECK_ERROR(net(Var(Tensor::zeros({1, 48, 64, 4}))), "backbone: images must be [N, H, W, 3]");
  for (const std::vector<i64>& rows : {std::vector<i64>{0, 1}, {4, 10}, {6, 4}, {4, 4}})
    CHECK_ERROR(make({.kind = BackboneKind::kMobileNetV2}, rows), "the rows asked for must ascend from 1 to 9");
  CHECK_ERROR(rows_at(BackboneKind::kMobileNetV2, {64}), "there is no map at stride 64");
  for (const double width : {0.0, -1.0, 11.0, std::nan("")})
    CHECK_ERROR(make({.kind = BackboneKind::kMobileNetV2, .width = width}),
                "mobilenet_v2: width must be above 0 and at most 10");
}
