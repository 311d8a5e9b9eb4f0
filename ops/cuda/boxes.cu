// Boxes in CUDA; formulas in ops/scalar/boxes.h. Compiled without contraction of products and sums: an iou passes a
// threshold, or does not, as on the CPU.
//
// The overlaps have one thread per pair, the losses one per row.
//
// nms: the boxes are brought into the order of their scores. For each one, a row of bits says which later boxes it
// would suppress: a block of 64 threads computes 64 x 64 of them, a thread one word. Then one block walks the words
// from the best box on: one thread decides which of 64 boxes stay, knowing what all before have removed, and all
// threads together remove what those suppress among the rest. The bits take N^2 / 8 bytes, half of them are computed;
// the walk reads the rows of the boxes that stay.
#include "ops/boxes.h"
#include "ops/cuda/sort_keys.h"
#include "ops/scalar/boxes.h"

namespace tessera {

namespace {

using namespace cuda;

using Box = scalar::Box<float>;
using Generalised = scalar::GeneralizedIouLoss<float>;
using Extended = scalar::ExtendedIouLoss<float>;

// --- Overlaps
template <bool kGeneralised>
__global__ void pairwise_kernel(i64 n, i64 M, const float* a, const float* b, float* y) {
  for (const i64 at : indices(n)) {
    const Box u = Box::at(a + 4 * (at / M)), v = Box::at(b + 4 * (at % M));
    y[at] = kGeneralised ? scalar::generalized_iou(u, v) : scalar::iou(u, v);
  }
}

template <bool kGeneralised>
void pairwise_cuda(const Tensor& a, const Tensor& b, Tensor& y) {
  launch<pairwise_kernel<kGeneralised>>(over(y.numel()), y.numel(), b.dim(0), a.device_data<float>(),
                                        b.device_data<float>(), y.device_data<float>());
}

__global__ void paired_iou_kernel(i64 N, const float* a, const float* b, float* y) {
  for (const i64 i : indices(N)) y[i] = scalar::iou(Box::at(a + 4 * i), Box::at(b + 4 * i));
}

void paired_iou_cuda(const Tensor& a, const Tensor& b, Tensor& y) {
  launch<paired_iou_kernel>(over(a.dim(0)), a.dim(0), a.device_data<float>(), b.device_data<float>(),
                            y.device_data<float>());
}

// --- The losses
template <class Loss>
__global__ void loss_kernel(i64 N, const float* a, const float* b, float eps, float* loss) {
  for (const i64 i : indices(N)) loss[i] = Loss{a + 4 * i, b + 4 * i, eps}.loss();
}

template <class Loss>
void loss_cuda(const Tensor& a, const Tensor& b, double eps, Tensor& y) {
  launch<loss_kernel<Loss>>(over(a.dim(0)), a.dim(0), a.device_data<float>(), b.device_data<float>(),
                            static_cast<float>(eps), y.device_data<float>());
}

// gy: one gradient for each row, or (gy_step 0) one for all.
template <class Loss>
__global__ void loss_backward_kernel(i64 N, const float* gy, i64 gy_step, const float* a, const float* b, float eps,
                                     float scale, float* ga) {
  for (const i64 i : indices(N)) {
    const Loss pair{a + 4 * i, b + 4 * i, eps};
    for (int k = 0; k < 4; ++k) ga[4 * i + k] = gy[i * gy_step] * scale * pair.slope(k);
  }
}

template <class Loss>
void loss_backward_cuda(const Tensor& gy, const Tensor& a, const Tensor& b, double eps, double scale, Tensor& ga) {
  launch<loss_backward_kernel<Loss>>(over(a.dim(0)), a.dim(0), gy.device_data<float>(), i64{gy.rank() > 0},
                                     a.device_data<float>(), b.device_data<float>(), static_cast<float>(eps),
                                     static_cast<float>(scale), ga.device_data<float>());
}

// --- nms
constexpr int kWord = 64;  // bits

__global__ void score_keys_kernel(i64 N, const float* scores, u64* keys) {
  for (const i64 i : indices(N)) keys[i] = make_key(scalar::sort_key(scores[i], true), i);
}

// A box, by rank: its position is that in the order of scores.
struct Candidate {
  Box box;
  i64 label;
};

__global__ void order_kernel(i64 N, const u64* keys, const float* boxes, const i64* labels, Candidate* by_rank) {
  for (const i64 rank : indices(N)) {
    const i64 i = position_of(keys[rank]);
    by_rank[rank] = {Box::at(boxes + 4 * i), labels ? labels[i] : 0};
  }
}

// bits [N, words]; those of earlier boxes are not written.
__global__ void suppression_kernel(i64 N, i64 words, double threshold, const Candidate* by_rank, u64* bits) {
  struct Others {
    Candidate candidates[kWord];
  };
  Others& others = shared_memory<Others>();
  const i64 tile = blockIdx.x / words, word = blockIdx.x % words;
  if (word < tile) return;
  const int t = static_cast<int>(threadIdx.x), count = static_cast<int>(std::min<i64>(kWord, N - word * kWord));
  if (t < count) others.candidates[t] = by_rank[word * kWord + t];
  __syncthreads();
  const i64 rank = tile * kWord + t;
  if (rank >= N) return;
  const Candidate own = by_rank[rank];
  u64 suppressed = 0;
  for (int k = word == tile ? t + 1 : 0; k < count; ++k) {
    const Candidate& other = others.candidates[k];
    if (other.label == own.label && static_cast<double>(scalar::iou(own.box, other.box)) > threshold)
      suppressed |= u64{1} << k;
  }
  bits[rank * words + word] = suppressed;
}

// One block. removed: a bit for each box, in shared memory.
__global__ void select_kernel(i64 N, i64 words, const u64* keys, const u64* bits, i64* keep, i64* count) {
  struct Shared {
    u64 rows[kWord], kept;
  };
  Shared& shared = shared_memory<Shared>();
  u64* const removed = dynamic_shared<u64>();
  const int t = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  for (i64 word = t; word < words; word += threads) removed[word] = 0;
  i64 found = 0;
  for (i64 word = 0; word < words; ++word) {
    const i64 first = word * kWord;
    const int boxes = static_cast<int>(std::min<i64>(kWord, N - first));
    if (t < boxes) shared.rows[t] = bits[(first + t) * words + word];
    __syncthreads();
    if (t == 0) {
      u64 gone = removed[word];
      shared.kept = 0;
      for (int k = 0; k < boxes; ++k) {
        if (gone >> k & 1) continue;
        shared.kept |= u64{1} << k;
        gone |= shared.rows[k];
      }
    }
    __syncthreads();
    const u64 kept = shared.kept;
    for (i64 later = word + 1 + t; later < words; later += threads)
      for (u64 rest = kept; rest != 0; rest &= rest - 1)
        removed[later] |= bits[(first + __ffsll(static_cast<long long>(rest)) - 1) * words + later];
    if (t < boxes && (kept >> t & 1)) keep[found + __popcll(kept & ((u64{1} << t) - 1))] = position_of(keys[first + t]);
    found += __popcll(kept);
  }
  if (t == 0) *count = found;
}

void nms_cuda(const Tensor& boxes, const Tensor& scores, const Tensor& labels, double threshold, Tensor& keep,
              i64& count) {
  const i64 N = boxes.dim(0), words = ceil_div(N, kWord);
  if (N == 0) return;
  const Device device = boxes.device();
  Tensor keys = Tensor::empty({1, N}, DType::kI64, device);
  launch<score_keys_kernel>(over(N), N, scores.device_data<float>(), keys_of(keys));
  keys = sort_keys(std::move(keys));
  Tensor memory = Tensor::empty({N * static_cast<i64>(sizeof(Candidate))}, DType::kU8, device);
  Candidate* by_rank = static_cast<Candidate*>(memory.raw());
  launch<order_kernel>(over(N), N, keys_of(keys), boxes.device_data<float>(),
                       labels.defined() ? labels.device_data<i64>() : nullptr, by_rank);
  Tensor bits = Tensor::empty({N, words}, DType::kI64, device), found = Tensor::empty({}, DType::kI64, device);
  launch<suppression_kernel>(Launch{.grid = static_cast<unsigned>(words * words), .block = kWord}, N, words, threshold,
                             by_rank, keys_of(bits));
  launch<select_kernel>(Launch{.grid = 1, .block = 256, .shared = static_cast<size_t>(words) * sizeof(u64)}, N, words,
                        keys_of(keys), keys_of(bits), keep.device_data<i64>(), found.device_data<i64>());
  count = *found.to_host().data<i64>();
}

[[maybe_unused]] const bool kAdded[] = {
    ops::box_iou_kernels.add(kDevice, pairwise_cuda<false>),
    ops::generalized_box_iou_kernels.add(kDevice, pairwise_cuda<true>),
    ops::generalized_box_iou_loss_kernels.add(kDevice, loss_cuda<Generalised>),
    ops::generalized_box_iou_loss_backward_kernels.add(kDevice, loss_backward_cuda<Generalised>),
    ops::extended_box_iou_loss_kernels.add(kDevice, loss_cuda<Extended>),
    ops::extended_box_iou_loss_backward_kernels.add(kDevice, loss_backward_cuda<Extended>),
    ops::paired_box_iou_kernels.add(kDevice, paired_iou_cuda),
    ops::nms_kernels.add(kDevice, nms_cuda),
};

}  // namespace

}  // namespace tessera
