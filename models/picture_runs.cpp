#include "models/picture_runs.h"

namespace tessera {

std::vector<std::vector<Rle>> masks_of(const std::vector<PictureRuns>& calls, std::vector<Tensor>& more, i64 room) {
  std::vector<Tensor> found = more;
  for (const PictureRuns& call : calls) {
    const ops::MaskRuns runs = call.find(room);
    found.push_back(runs.offsets);
    found.push_back(runs.ends);
  }
  found = to_host(found);
  more.assign(found.begin(), found.begin() + std::ssize(more));

  std::vector<std::vector<Rle>> masks;
  for (size_t i = 0; i < calls.size(); ++i) {
    const auto& [height, width] = calls[i].original;
    const std::span<const i64> offsets = found[more.size() + 2 * i].span<i64>();
    Tensor ends = found[more.size() + 2 * i + 1];
    if (offsets.back() > ends.numel()) ends = calls[i].find(offsets.back()).ends.to_host();
    std::vector<Rle>& of_picture = masks.emplace_back();
    for (size_t k = 0; k + 1 < offsets.size(); ++k) {
      const std::span<const i32> own(ends.data<i32>() + offsets[k], ends.data<i32>() + offsets[k + 1]);
      of_picture.push_back(own.empty() ? Rle{} : Rle::from_ends(height, width, own));
    }
  }
  return masks;
}

}  // namespace tessera
