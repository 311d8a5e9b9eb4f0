// The configuration files of SparseInst: each is read without an unknown key and says what its row of the paper says.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "tests/support/check_error.h"
#include "tests/support/paths.h"
#include "train/config.h"

using namespace tessera;

namespace {

const std::filesystem::path kFolder = test::source_dir() / "configs" / "sparseinst";

sparseinst::Config model_of(const std::string& name) {
  return std::get<sparseinst::Config>(read_config(kFolder / (name + ".toml")).model.network);
}

}  // namespace

TEST_CASE("configs: every SparseInst file is valid, and no two models of the ablations are the same") {
  std::set<std::string> ablations;
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kFolder)) {
    if (entry.path().extension() != ".toml") continue;
    CAPTURE(entry.path().string());
    const Config config = read_config(entry.path());
    CHECK(config.model.name == "sparseinst");
    if (entry.path().parent_path().filename() == "ablations") CHECK(ablations.insert(to_toml(config)).second);
    ++count;
  }
  CHECK(count >= 36);
}

TEST_CASE("configs: the files that stand on them are valid, too") {
  for (const auto& entry : std::filesystem::directory_iterator(kFolder.parent_path()))
    if (entry.path().extension() == ".toml") CHECK(read_config(entry.path()).model.name == "sparseinst");
}

TEST_CASE("configs: the four rows of the paper's Table 1") {
  for (const auto& [name, deep_stem, deform] :
       {std::tuple{"r50_giam_aug", false, nn::Deform::kNone}, std::tuple{"r50_dcn_giam_aug", false, nn::Deform::kV1},
        std::tuple{"r50vd_giam_aug", true, nn::Deform::kNone},
        std::tuple{"r50vd_dcn_giam_aug", true, nn::Deform::kV1}}) {
    CAPTURE(name);
    const Config config = read_config(kFolder / (std::string(name) + ".toml"));
    CHECK(config.input.shortest == 608);
    CHECK(config.augment.config(config.input).crop_probability == 0.5);
    CHECK(config.optimizer.weight_decay == 0.05);
    CHECK(std::get<sparseinst::Config>(config.model.network).iam.groups == 4);
    CHECK(std::get<sparseinst::Config>(config.model.network).backbone.deep_stem == deep_stem);
    CHECK(std::get<sparseinst::Config>(config.model.network).backbone.deform == deform);
  }
}

TEST_CASE("configs: the ablations change one thing of the plain model") {
  const sparseinst::Config baseline = model_of("ablations/baseline");
  CHECK(baseline.iam.groups == 1);
  CHECK(baseline.loss.pixel_weight == 2);
  CHECK(!model_of("ablations/encoder_fusion").encoder.ppm);
  CHECK(model_of("ablations/encoder_fusion").encoder.fusion);
  CHECK(model_of("ablations/decoder_depth6").decoder.depth == 6);
  CHECK(model_of("ablations/decoder_dconv").decoder.dconv == nn::Deform::kV2);
  CHECK(model_of("ablations/iam_two_3x3").iam.kernel == sparseinst::IamKernel::kTwo3x3);
  CHECK(model_of("ablations/iam_group2").iam.groups == 2);
  CHECK(model_of("ablations/loss_dice_focal").loss.mask == sparseinst::MaskLoss::kDiceFocal);
  CHECK(model_of("ablations/objectness_l1").loss.objectness == sparseinst::ObjectnessLoss::kL1);
  CHECK(!model_of("ablations/objectness_no_rescore").inference.rescore);
  CHECK(model_of("ablations/cross_attention").iam.cross_attention);
}

TEST_CASE("configs: what stands for the paper alone has no maskness, what stands for the authors' repository has it") {
  int ablations = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kFolder)) {
    if (entry.path().extension() != ".toml") continue;
    CAPTURE(entry.path().string());
    const bool ablation = entry.path().parent_path().filename() == "ablations";
    ablations += ablation;
    const bool paper_alone = ablation || entry.path().stem() == "r50vd_dcn_giam_aug_448";
    CHECK(std::get<sparseinst::Config>(read_config(entry.path()).model.network).inference.maskness == !paper_alone);
  }
  CHECK(ablations >= 21);
}

TEST_CASE("configs: the tiny model has about 0.8 million parameters") {
  const Config config = read_config(kFolder / "sparseinst_tiny.toml");
  const std::unique_ptr<Segmenter> model = make_model(config.model, 1);
  const i64 parameters = nn::count_parameters(*model);
  CHECK(parameters > 750'000);
  CHECK(parameters < 900'000);
}
