// From one network's weights to another's for other classes, or another input.
#include "train/transfer.h"

#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <set>

#include "models/model.h"
#include "tests/models/tiny_fassst.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "train/checkpoint.h"

using namespace tessera;

namespace {

using Classes = std::vector<std::string>;

std::map<std::string, Tensor> tensors_of(nn::Module& model) {
  std::map<std::string, Tensor> tensors;
  for (const nn::StateEntry& entry : nn::state(model)) tensors.emplace(entry.name, entry.tensor.clone());
  return tensors;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.bytes())) == 0;
}

bool same_row(const Tensor& a, i64 row, const Tensor& b, i64 other) {
  return same(a.rows(row, row + 1), b.rows(other, other + 1));
}

// A network that learned `classes`, in a checkpoint.
struct Learned {
  test::TemporaryFolder folder;
  std::unique_ptr<fassst::Fassst> model;

  explicit Learned(const Classes& classes, fassst::Config config = test::tiny_fassst_config()) {
    config.num_classes = std::ssize(classes);
    Random random(1);
    model = std::make_unique<fassst::Fassst>(config, random);
    for (nn::StateEntry& entry : nn::state(*model))  // zeros at first among them
      for (i64 i = 0; i < entry.tensor.numel(); ++i)
        entry.tensor.data<float>()[i] += static_cast<float>(random.normal());
    CheckpointInfo info{.config = "", .classes = classes, .category_ids = {}};
    for (i64 id = 1; id <= std::ssize(classes); ++id) info.category_ids.push_back(id);
    save_checkpoint(folder / "a.safetensors", info, *model, nullptr, nullptr);
  }
  InitialWeights into(Segmenter& target, const Classes& classes, Transfer transfer) const {
    TrainingConfig config;
    config.init_weights = (folder / "a.safetensors").string();
    config.init_transfer = transfer;
    return load_initial_weights(target, config, {.dependent = target.dependent_parts(), .classes = classes});
  }
};

std::unique_ptr<fassst::Fassst> target_for(i64 classes, std::array<i64, 2> input = {64, 64}, i64 depth = 4) {
  fassst::Config config = test::tiny_fassst_config();
  config.num_classes = classes;
  config.input = input;
  config.head_depth = depth;
  return test::tiny_fassst(config);
}

}  // namespace

TEST_CASE("transfer: of the same network the layer of the classes alone begins anew, and that is told") {
  const Learned learned({"dog", "person", "car"});
  const auto target = target_for(2);
  const auto before = tensors_of(*target), source = tensors_of(*learned.model);
  const InitialWeights result = learned.into(*target, {"car", "person"}, Transfer::kNetwork);
  i64 anew = 0;
  for (const auto& [name, tensor] : tensors_of(*target)) {
    CAPTURE(name);
    const bool of_classes = name.starts_with("iam.6.");
    anew += of_classes;
    CHECK(same(tensor, of_classes ? before.at(name) : source.at(name)));
  }
  CHECK(anew == 2);
  REQUIRE(result.lines.size() == 1);
  CHECK(result.lines[0] == "iam.6.* begins anew (iam.6.bias: file [8], model [7])");
}

TEST_CASE("transfer: where the input's size changes the fitted layer it begins anew with its normalisation") {
  const Learned learned({"dog", "person", "car"});
  const auto target = target_for(3, {256, 256});
  const auto before = tensors_of(*target), source = tensors_of(*learned.model);
  const InitialWeights result = learned.into(*target, {"dog", "person", "car"}, Transfer::kNetwork);
  for (const auto& [name, tensor] : tensors_of(*target)) {
    CAPTURE(name);
    CHECK(same(tensor, name.starts_with("iam.4.") ? before.at(name) : source.at(name)));
  }
  REQUIRE(result.lines.size() == 1);
  CHECK(result.lines[0].starts_with("iam.4.* begins anew (iam.4.conv.weight: file ["));
}

TEST_CASE("transfer: rows go to the classes of the same name, a rider's are a person's, what is left begins anew") {
  const Learned learned({"dog", "person", "car"});
  const auto target = target_for(4);
  const auto before = tensors_of(*target), source = tensors_of(*learned.model);
  const InitialWeights result = learned.into(*target, {"car", "person", "rider", "train"}, Transfer::kRows);
  const auto after = tensors_of(*target);
  for (const std::string name : {"iam.6.weight", "iam.6.bias"}) {
    CAPTURE(name);
    for (i64 row = 0; row < 5; ++row) CHECK(same_row(after.at(name), row, source.at(name), row));
    CHECK(same_row(after.at(name), 5, source.at(name), 7));
    CHECK(same_row(after.at(name), 6, source.at(name), 6));
    CHECK(same_row(after.at(name), 7, source.at(name), 6));
    CHECK(same_row(after.at(name), 8, before.at(name), 8));
  }
  REQUIRE(result.lines.size() == 1);
  CHECK(result.lines[0] == "iam.6.*: rows copied of 3 classes (car, person, rider (person's)), anew: train");
}

TEST_CASE("transfer: rows are found by name even where there are as many classes as in the file") {
  const Learned learned({"dog", "person"});
  const auto target = target_for(2);
  const auto before = tensors_of(*target), source = tensors_of(*learned.model);
  learned.into(*target, {"person", "cat"}, Transfer::kRows);
  const Tensor after = tensors_of(*target).at("iam.6.weight");
  CHECK(same_row(after, 5, source.at("iam.6.weight"), 6));
  CHECK(same_row(after, 6, before.at("iam.6.weight"), 6));
}

TEST_CASE("transfer: anything else that does not fit is an error that lists it") {
  const Learned learned({"dog", "person"});
  const auto deeper = target_for(2, {64, 64}, 5);
  CHECK_ERROR(learned.into(*deeper, {"dog", "person"}, Transfer::kNetwork), "a.safetensors: is not the same network, ");
  CHECK_ERROR(learned.into(*deeper, {"dog", "person"}, Transfer::kNetwork), "iam.1.");
  CHECK_ERROR(learned.into(*deeper, {"dog", "person"}, Transfer::kNetwork), "training.init_transfer = \"parts\"");
  CHECK_NOTHROW(learned.into(*deeper, {"dog", "person"}, Transfer::kParts));

  const auto target = target_for(2);
  TrainingConfig config;
  config.init_weights = (learned.folder / "theirs.safetensors").string();
  config.init_transfer = Transfer::kRows;
  std::vector<NamedTensor> theirs = reference_tensors(*learned.model);
  save_safetensors(config.init_weights, theirs);
  const TransferTarget to{.dependent = target->dependent_parts(), .classes = {"dog", "person"}};
  CHECK_ERROR(load_initial_weights(*target, config, to), "theirs.safetensors: is no checkpoint of this program");
  config.init_transfer = Transfer::kNetwork;
  CHECK(load_initial_weights(*target, config, to).lines.empty());
  theirs.push_back({"iam.10.bias", Tensor::zeros({3})});
  save_safetensors(config.init_weights, theirs);
  CHECK_ERROR(load_initial_weights(*target, config, to), "1 tensors do not fit (iam.10.bias: not in the model)");
}

TEST_CASE("transfer: every family names the tensors whose shapes depend on the classes, and no others") {
  std::vector<ModelConfig> configs;
  for (const std::string& family : family_names()) {
    configs.emplace_back();
    REQUIRE(configs.back().choose(family));
  }
  for (const effseg::HeadKind kind :
       {effseg::HeadKind::kMaskRcnn, effseg::HeadKind::kPointRend, effseg::HeadKind::kRefineMask}) {
    effseg::Config config;
    config.head.kind = kind;
    configs.push_back({.name = "effseg", .network = config});
  }
  fqdet::Config v2;
  v2.form = fqdet::Form::kRelease;
  configs.push_back({.name = "fqdet", .network = v2});
  for (ModelConfig& config : configs) {
    CAPTURE(config.name);
    config.set_classes(3, 3);
    const std::unique_ptr<Segmenter> few = make_model(config, 1);
    config.set_classes(5, 5);
    const std::unique_ptr<Segmenter> many = make_model(config, 1);
    const auto before = tensors_of(*few), after = tensors_of(*many);
    const test::TemporaryFolder folder;
    save_checkpoint(folder / "a.safetensors", {.config = "", .classes = {"a", "b", "c"}, .category_ids = {1, 2, 3}},
                    *few, nullptr, nullptr);
    TrainingConfig training;
    training.init_weights = (folder / "a.safetensors").string();
    training.init_transfer = Transfer::kNetwork;
    const InitialWeights result =
        load_initial_weights(*many, training, {.dependent = many->dependent_parts(), .classes = {}});
    std::set<std::string> anew(result.loaded.report.missing.begin(), result.loaded.report.missing.end());
    for (const auto& [name, tensor] : before) {
      CAPTURE(name);
      if (tensor.shape() != after.at(name).shape()) CHECK(anew.contains(name));
    }
    CHECK(anew.size() >= 2);
    CHECK(anew.size() <= 20);
  }
}
