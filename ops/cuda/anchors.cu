// Anchors in CUDA: whole numbers, a thread per chosen anchor. In match_anchors it walks what the objects want, rank by
// rank, until it finds itself; all threads read the same numbers. A scan then says where each pair goes.
#include "ops/anchors.h"
#include "ops/cuda/scan.h"

namespace tessera {

namespace {

using namespace cuda;

__global__ void anchor_rows_kernel(i64 N, i64 n, i64 cells, i64 kinds, const i64* anchors, i64* picture, i64* cell,
                                   i64* kind, i64* slot) {
  for (const i64 q : indices(N)) {
    const i64 anchor = anchors[q], b = q / n;
    const bool inside = 0 <= anchor && anchor < cells * kinds;
    picture[q] = b;
    cell[q] = inside ? b * cells + anchor / kinds : -1;
    kind[q] = inside ? anchor % kinds : -1;
    slot[q] = inside ? anchor % kinds * N + q : -1;
  }
}

void anchor_rows_cuda(const Tensor& anchors, i64 cells, i64 kinds, Tensor& picture, Tensor& cell, Tensor& kind,
                      Tensor& slot) {
  launch<anchor_rows_kernel>(over(anchors.numel()), anchors.numel(), anchors.dim(1), cells, kinds,
                             anchors.device_data<i64>(), picture.device_data<i64>(), cell.device_data<i64>(),
                             kind.device_data<i64>(), slot.device_data<i64>());
}

// flags [N + 1]: 1 for those that have an owner, the last 0
__global__ void owner_kernel(i64 N, i64 n, i64 T, i64 R, const i64* ranked, const i64* pictures, const i64* chosen,
                             i64* owner, i32* flags) {
  for (const i64 q : indices(N + 1)) {
    i64 found = T;
    for (i64 r = 0; r < R && q < N && found == T; ++r)
      for (i64 t = 0; t < T && found == T; ++t)
        if (pictures[t] == q / n && ranked[t * R + r] == chosen[q]) found = t;
    if (q < N) owner[q] = found;
    flags[q] = found < T;
  }
}

__global__ void pairs_kernel(i64 N, i64 T, const i64* owner, const i32* before, i64* matched, i64* object) {
  for (const i64 q : indices(N)) {
    if (owner[q] == T) continue;
    matched[before[q]] = q;
    object[before[q]] = owner[q];
  }
}

void match_anchors_cuda(const Tensor& ranked, const Tensor& pictures, const Tensor& chosen, Tensor& owner,
                        Tensor& matched, Tensor& object) {
  const i64 N = chosen.numel(), T = ranked.dim(0);
  Tensor before = Tensor::empty({N + 1}, DType::kI32, chosen.device());
  launch<owner_kernel>(over(N + 1), N, chosen.dim(1), T, ranked.dim(1), ranked.device_data<i64>(),
                       pictures.device_data<i64>(), chosen.device_data<i64>(), owner.device_data<i64>(),
                       before.device_data<i32>());
  exclusive_scan(before);
  const i64 M = static_cast<i64>(before.rows(N, N + 1).item());
  matched = Tensor::empty({M}, DType::kI64, chosen.device());
  object = Tensor::empty({M}, DType::kI64, chosen.device());
  launch<pairs_kernel>(over(N), N, T, owner.device_data<i64>(), before.device_data<i32>(), matched.device_data<i64>(),
                       object.device_data<i64>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::anchor_rows_kernels.add(kDevice, anchor_rows_cuda),
    ops::match_anchors_kernels.add(kDevice, match_anchors_cuda),
};

}  // namespace

}  // namespace tessera
