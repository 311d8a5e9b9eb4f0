#include "train/weight_names.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/support/check_error.h"

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

std::map<std::string, Shape> shapes(const std::vector<std::string>& names) {
  std::map<std::string, Shape> result;
  for (const std::string& name : names) result.emplace(name, Shape());
  return result;
}

NameRule rule_for(const std::vector<std::string>& file, const std::vector<std::string>& model,
                  const std::string& add = "") {
  return find_name_rule({shapes(file)}, shapes(model), add);
}

// Every name of `file` becomes the one in the same place of `model`.
void check_all(const std::vector<std::string>& file, const std::vector<std::string>& model, const std::string& rule) {
  const NameRule found = rule_for(file, model);
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

TEST_CASE(
    "weight names: a backbone of torchvision goes under backbone.body where the model has that, with or without "
    "wrapping") {
  const std::vector<std::string> model = column(&Row::torchvision, "backbone.body.");
  check_all(column(&Row::torchvision), model, "names of the model itself, backbone.body. put before them");
  check_all(column(&Row::torchvision, "module."), model,
            "names of the model itself, without module., backbone.body. put before them");
  check_all(model, model, "names of the model itself");
}

TEST_CASE("weight names: torchvision's MobileNetV2 has the model's names, its classifier is left over") {
  const std::vector<std::string> model = {"backbone.features.0.0.weight", "backbone.features.1.conv.0.1.running_var"};
  const NameRule rule = rule_for({"features.0.0.weight", "features.0.1.num_batches_tracked",
                                  "features.1.conv.0.1.running_var", "classifier.1.weight"},
                                 model);
  CHECK(rule.str() == "names of the model itself, backbone. put before them");
  CHECK(rule("features.0.0.weight") == model[0]);
  CHECK(rule("features.1.conv.0.1.running_var") == model[1]);
  CHECK(rule("classifier.1.weight") == "backbone.classifier.1.weight");
}

TEST_CASE("weight names: what no model has is skipped, a given prefix is kept") {
  const NameRule rule = rule_for({"conv1.weight", "bn1.num_batches_tracked"}, {"a.stem.conv1.weight"}, "a.");
  CHECK(rule("conv1.weight") == "a.stem.conv1.weight");
  CHECK(rule("bn1.num_batches_tracked").empty());
  CHECK(rule.str() == "names of torchvision, a. put before them");
}

TEST_CASE("weight names: prefixes that all names share are taken off one after the other, whatever they are") {
  const std::vector<std::string> model = column(&Row::ours, "backbone.");
  check_all(column(&Row::ours, "module._orig_mod.backbone."), model,
            "names of the model itself, without module._orig_mod.");
  check_all(column(&Row::ours, "net.wrapped.body."), model,
            "names of the model itself, without net.wrapped.body., backbone. put before them");
  check_all(column(&Row::torchvision, "_orig_mod.module.encoder."), model,
            "names of torchvision, without _orig_mod.module.encoder., backbone. put before them");
  check_all(column(&Row::ours, "module._orig_mod.backbone.bottom_up."), model,
            "names of the model itself, without module._orig_mod.backbone.bottom_up., backbone. put before them");
  check_all(column(&Row::caffe2, "x."), model, "names of Caffe2, without x., backbone. put before them");
}

TEST_CASE("weight names: a prefix that the model itself has stays where the names fit with it") {
  const std::vector<std::string> backbone = column(&Row::ours, "backbone.");
  std::vector<std::string> whole = backbone;
  whole.push_back("decoder.conv.weight");
  check_all(backbone, backbone, "names of the model itself");
  CHECK(rule_for(backbone, whole).str() == "names of the model itself");
  CHECK(rule_for(column(&Row::ours, "module.backbone."), whole).str() == "names of the model itself, without module.");
  CHECK(rule_for({"module.a.weight"}, {"module.a.weight"}).str() == "names of the model itself");
}

TEST_CASE("weight names: a few tensors beside the weights do not hide the prefix") {
  std::vector<std::string> file = column(&Row::ours, "module._orig_mod.backbone.");
  file.push_back("epoch");
  file.push_back("criterion.weight");
  const NameRule rule = rule_for(file, column(&Row::ours, "backbone."));
  CHECK(rule.remove == "module._orig_mod.");
  CHECK(rule("epoch") == "epoch");
}

TEST_CASE("weight names: of several dicts the one that fits best is taken and the others are passed over") {
  NamesInFile file{.dicts = {"net.", "state.", "state.0."}};
  for (const std::string& name : column(&Row::ours, "net.module.")) file.tensors.emplace(name, Shape{2});
  for (const std::string& name : column(&Row::ours, "state.0.")) file.tensors.emplace(name, Shape{3});
  std::map<std::string, Shape> model;
  for (const std::string& name : column(&Row::ours, "backbone.")) model.emplace(name, Shape{2});
  const NameRule rule = find_name_rule(file, model);
  CHECK(rule.str() ==
        "names of the model itself, without net.module., backbone. put before them, all outside of net. passed over");
  CHECK(rule("net.module.stem.conv1.weight") == "backbone.stem.conv1.weight");
  CHECK(rule("net.other") == "net.other");
  CHECK(rule("state.0.stem.conv1.weight").empty());

  for (auto& [name, shape] : file.tensors) shape = Shape{2};
  CHECK_ERROR(find_name_rule(file, model), "net.module., state.0. fit the model equally well, 8 tensors each");
  file.weights = "state.0.";
  CHECK(find_name_rule(file, model).dict == "state.0.");
  file.tensors.erase("state.0.stem.conv1.weight");
  CHECK(find_name_rule(file, model).dict == "net.");
}
