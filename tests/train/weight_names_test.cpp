#include "train/weight_names.h"

#include <doctest/doctest.h>

using namespace tessera;

namespace {

struct Row {
  const char *ours, *torchvision, *caffe2;
};
constexpr Row kRows[] = {
    {"stem.conv1.weight", "conv1.weight", "conv1_w"},
    {"stem.conv1.norm.weight", "bn1.weight", "res_conv1_bn_s"},
    {"stem.conv1.norm.bias", "bn1.bias", "res_conv1_bn_b"},
    {"res2.0.shortcut.weight", "layer1.0.downsample.0.weight", "res2_0_branch1_w"},
    {"res2.0.shortcut.norm.bias", "layer1.0.downsample.1.bias", "res2_0_branch1_bn_b"},
    {"res3.1.conv1.weight", "layer2.1.conv1.weight", "res3_1_branch2a_w"},
    {"res4.22.conv2.norm.weight", "layer3.22.bn2.weight", "res4_22_branch2b_bn_s"},
    {"res5.2.conv3.norm.running_var", "layer4.2.bn3.running_var", "res5_2_branch2c_bn_riv"},
};

std::vector<std::string> column(const char* Row::*member, const std::string& prefix = "") {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.push_back(prefix + row.*member);
  return names;
}

// Every name of `file` becomes the one in the same place of `model`.
void check_all(const std::vector<std::string>& file, const std::vector<std::string>& model, const std::string& rule) {
  const NameRule found = find_name_rule(file, model);
  CHECK(found.str() == rule);
  for (size_t i = 0; i < file.size(); ++i) CHECK(found(file[i]) == model[i]);
}

}  // namespace

TEST_CASE("weight names: ResNets of torchvision, Caffe2 and detectron2 are recognised and renamed") {
  const std::vector<std::string> backbone = column(&Row::ours), model = column(&Row::ours, "backbone.");
  check_all(column(&Row::torchvision), backbone, "names of torchvision");
  check_all(column(&Row::torchvision), model, "names of torchvision, backbone. put before them");
  check_all(column(&Row::torchvision, "module."), model,
            "names of torchvision, without module., backbone. put before them");
  check_all(column(&Row::caffe2), model, "names of Caffe2, backbone. put before them");
  check_all(column(&Row::ours), model, "names of the model itself, backbone. put before them");
  check_all(column(&Row::ours, "backbone.bottom_up."), model,
            "names of the model itself, without backbone.bottom_up., backbone. put before them");
  check_all(column(&Row::ours, "module.backbone."), model, "names of the model itself, without module.");
  check_all(model, model, "names of the model itself");
}

TEST_CASE("weight names: torchvision's MobileNetV2 has the model's names, its classifier is left over") {
  const std::vector<std::string> model = {"backbone.features.0.0.weight", "backbone.features.1.conv.0.1.running_var"};
  const NameRule rule = find_name_rule({"features.0.0.weight", "features.0.1.num_batches_tracked",
                                        "features.1.conv.0.1.running_var", "classifier.1.weight"},
                                       model);
  CHECK(rule.str() == "names of the model itself, backbone. put before them");
  CHECK(rule("features.0.0.weight") == model[0]);
  CHECK(rule("features.1.conv.0.1.running_var") == model[1]);
  CHECK(rule("classifier.1.weight") == "backbone.classifier.1.weight");
}

TEST_CASE("weight names: what no model has is skipped, a given prefix is kept") {
  const NameRule rule = find_name_rule({"conv1.weight", "bn1.num_batches_tracked"}, {"a.stem.conv1.weight"}, "a.");
  CHECK(rule("conv1.weight") == "a.stem.conv1.weight");
  CHECK(rule("bn1.num_batches_tracked").empty());
  CHECK(rule.str() == "names of torchvision, a. put before them");
}
