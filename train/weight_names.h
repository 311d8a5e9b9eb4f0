// The names of other tools' weights, and which of them a file uses.
//
//   as they are   the model's own: SparseInst's official checkpoints, timm's ResNet-D, torchvision's MobileNetV2
//   torchvision   conv1  bn1  layer1.0.conv2  layer1.0.bn2  layer1.0.downsample.0  layer1.0.downsample.1
//   Caffe2        conv1_w  res_conv1_bn_s  res2_0_branch2b_w  res2_0_branch2b_bn_s  res2_0_branch1_w    (MSRA's
//   R-50.pkl)
//
// both brought to detectron2's
//                 stem.conv1  stem.conv1.norm  res2.0.conv2  res2.0.conv2.norm  res2.0.shortcut  res2.0.shortcut.norm
//
// Around them a file may have a prefix ("module." of DataParallel, "backbone.bottom_up." of detectron2's detectors),
// and a backbone alone lacks the model's "backbone.".
#pragma once

#include <string>
#include <vector>

namespace tessera {

struct NameConvention {
  const char* name;
  std::string (*rename)(const std::string& name);
};

// From a name of a file to one of a model: takes the prefix `remove` off, renames, puts `add` before it.
struct NameRule {
  std::string remove, add;
  const NameConvention* convention = nullptr;

  // Empty for num_batches_tracked, which no model here has.
  std::string operator()(const std::string& name) const;
  std::string str() const;  // "names of torchvision, backbone. put before them"
};

// The rule under which most of the file's names are names of the model; of equals the simplest. `add`: a prefix that is
// always put before the names; empty: whatever fits best.
NameRule find_name_rule(const std::vector<std::string>& file, const std::vector<std::string>& model,
                        const std::string& add = "");

}  // namespace tessera
