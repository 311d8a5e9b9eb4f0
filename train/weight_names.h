// The names of other tools' weights, and which of them a file uses.
//
//   as they are   the model's own: SparseInst's official checkpoints, timm's ResNet-D, torchvision's MobileNetV2
//   torchvision   conv1  bn1  layer1.0.conv2  layer1.0.bn2  layer1.0.downsample.0  layer1.0.downsample.1
//   Caffe2        conv1_w  res_conv1_bn_s  res2_0_branch2b_w  res2_0_branch2b_bn_s  res2_0_branch1_w
//
// both (Caffe2's are those of MSRA's R-50.pkl) brought to detectron2's
//                 stem.conv1  stem.conv1.norm  res2.0.conv2  res2.0.conv2.norm  res2.0.shortcut  res2.0.shortcut.norm
//
// Around them a file may have prefixes: what most of its names begin with ("module._orig_mod." of a compiled network in
// DataParallel), a prefix that a tool puts before the network alone ("model." of Lightning, "backbone.bottom_up." of
// detectron2's detectors), and the keys of the dicts that the tensors lie in ("net."). A backbone alone lacks the
// model's "backbone.", or FQDet's and EffSeg's "backbone.body.".
#pragma once

#include <map>
#include <set>
#include <string>

#include "tensor/shape.h"

namespace tessera {

struct NameConvention {
  const char* name;
  std::string (*rename)(const std::string& name);
};

// From a name of a file to one of a model: takes the prefix `remove` off, renames, puts `add` before it. A name without
// the prefix stays as it is.
struct NameRule {
  std::string remove, add;
  const NameConvention* convention = nullptr;
  std::string dict;  // the nested dict of the file that the weights lie in ("net."); what lies elsewhere is passed over

  // Empty: passed over. So is num_batches_tracked, which no model here has.
  std::string operator()(const std::string& name) const;
  std::string str() const;  // "names of torchvision, backbone. put before them"
};

// The tensors of a file by name, and how it nests them (tensor/weights_file.h).
struct NamesInFile {
  std::map<std::string, Shape> tensors = {};
  std::set<std::string> dicts = {};
  std::string weights = {};
};

// The rule under which most of the file's tensors fit the model by name and shape, and then by name alone; of equals
// the simplest. `add`: a prefix that is always put before the names; empty: whatever fits best. Several dicts that fit
// equally well are an error that lists them, unless one of them is file.weights.
NameRule find_name_rule(const NamesInFile& file, const std::map<std::string, Shape>& model,
                        const std::string& add = "");

}  // namespace tessera
