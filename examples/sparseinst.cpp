// SparseInst on a picture: what it finds, printed and drawn.
//   sparseinst PICTURE OUT.png [CHECKPOINT]     a run's folder, or a checkpoint; without one, random weights
#include <fmt/core.h>
#include <tessera/tessera.h>

using namespace tessera;

int main(int argc, char** argv) {
  let_waiting_threads_sleep(argv);
  if (argc < 3) return 2;
  const Tensor image = load_image(argv[1]);
  Tensor drawn = image.clone();
  const LoadedModel loaded = argc > 3 ? load(argv[3]) : untrained_model({"model.num_classes=3"}, "", "");
  for (const Instance& found : loaded.detect(image)) {
    const std::string& name = loaded.info.classes[static_cast<size_t>(found.class_index)];
    fmt::print("{:12} {:.3f}\n", name, found.score);
    const Tensor mask = decode_rle(found.mask);
    blend_mask(drawn, mask, colour_of(found.class_index), 0.5);
    outline_mask(drawn, mask, colour_of(found.class_index));
  }
  save_png(argv[2], drawn);
}
