// Training SparseInst from a program, on pictures that are in no file: drawn when the loader asks for them.
//   own_data FOLDER     for the log and the checkpoints
#include <fmt/core.h>
#include <tessera/tessera.h>

using namespace tessera;

class Drawn : public SampleSource {
 public:
  i64 size() const override { return 64; }
  ImageSize original_size(i64 index) const override { return load(0, index).original; }
  Sample load(i64 /*epoch*/, i64 index) const override {
    const ShapesPicture picture = draw_shapes({.size = 64}, ShapesSplit::kTrain, index);
    Sample sample{.image = picture.image, .original = {picture.image.dim(0), picture.image.dim(1)}, .index = index};
    Targets& targets = sample.targets;
    const i64 objects = static_cast<i64>(picture.classes.size()), pixels = picture.owners.numel();
    targets.masks = Tensor::zeros({objects, sample.original.height, sample.original.width}, DType::kU8);
    targets.classes = Tensor::from(picture.classes);
    for (i64 k = 0; k < objects; ++k) {
      targets.annotations.push_back(k + 1);
      for (i64 p = 0; p < pixels; ++p) targets.masks.data<u8>()[k * pixels + p] = picture.owners.data<u8>()[p] == k + 1;
    }
    return sample;
  }
};

int main(int argc, char** argv) {
  let_waiting_threads_sleep(argv);
  if (argc != 2) return 2;
  Job job;
  job.config = make_config(parse_settings(R"(
    [model]
    num_classes = 3
    num_masks = 16
    kernel_dim = 32
    backbone.kind = "tiny"
    backbone.norm = "batch"
    encoder.channels = 32
    decoder.depth = 1
    decoder.width = 32
    [optimizer]
    lr = 1e-3
    [training]
    steps = 20
    batch_size = 8)",
                                          "own_data.cpp", {}));
  job.folder = argv[1];
  job.data = std::make_shared<Drawn>();
  for (const char* shape : shape_names(ShapesKind::kPlain)) job.classes.push_back(shape);
  job.category_ids = {1, 2, 3};
  const auto model = make_model(job.config.model, job.config.training.seed);
  const int signal = train(*model, job);
  fmt::print("trained; the checkpoint is {}\n", find_checkpoint(job.folder).string());
  return signal;
}
