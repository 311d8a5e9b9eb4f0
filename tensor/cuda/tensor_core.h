// The instructions of tensor cores, from compute capability 8.0 on, for both compilers: copies from global to shared
// memory that run beside the arithmetic (cp.async), fragments of operands from shared memory (ldmatrix), and a warp's
// product of them (mma.sync).
//
//   D [16, 8] += A [16, k] B [k, 8]      T = float: k = 8, operands rounded to TF32;  T = BFloat16: k = 16;  D in f32
//
// In both a row of A and a column of B have 32 bytes, and a register of a fragment holds 4 of them:
//
//   A  register i of lane l:  row l / 4 + 8 (i % 2),  bytes 16 (i / 2) + 4 (l % 4) ...
//   B  register i of lane l:  column l / 4,           bytes 16 i + 4 (l % 4) ...
//   D  register i of lane l:  row l / 4 + 8 (i / 2),  column 2 (l % 4) + i % 2
//                                              PTX ISA, "Matrix multiply-accumulate operation using mma instruction"
//
// On the emulated device a copy arrives when its thread waits for it, and until then its target holds NaN; addresses
// must be aligned; TF32 products ignore the low bits as tensor cores do; sums are taken in ascending order of k.
#pragma once

#include <bit>
#include <type_traits>

#include "tensor/cuda/launch.h"
#include "tensor/dtype.h"

namespace tessera::cuda {

inline constexpr int kCopyBytes = 16;  // of a copy, and of a row of ldmatrix
struct alignas(kCopyBytes) CopyPiece {
  u32 words[4];
};

// Where register i of D lies.
constexpr int sum_row(int lane, int i) {
  return lane / 4 + 8 * (i / 2);
}
constexpr int sum_column(int lane, int i) {
  return 2 * (lane % 4) + i % 2;
}

#ifdef TESSERA_CUDA_EMULATED

inline void check_copy_address(const void* address) {
  TESSERA_CHECK(reinterpret_cast<std::uintptr_t>(address) % kCopyBytes == 0,
                "cuda-emulated: an address of a copy or a matrix's row is no multiple of {} bytes", kCopyBytes);
}

inline void copy_async(CopyPiece* to, const void* from) {
  check_copy_address(to);
  check_copy_address(from);
  *to = {~0u, ~0u, ~0u, ~0u};
  emulated::add_copy({to, from});
}
inline void wait_for_copies() {
  for (emulated::AsyncCopy copy; emulated::take_copy(copy);)
    *static_cast<CopyPiece*>(copy.to) = copy.from ? *static_cast<const CopyPiece*>(copy.from) : CopyPiece{};
}

inline std::array<const u32*, kWarp> matrix_rows(const void* row, std::source_location where) {
  check_copy_address(row);
  return warp_values(static_cast<const u32*>(row), where);
}
inline void load_matrices(u32 (&matrices)[4], const void* row,
                          std::source_location where = std::source_location::current()) {
  const auto rows = matrix_rows(row, where);
  for (int m = 0; m < 4; ++m) matrices[m] = rows[static_cast<size_t>(8 * m + lane() / 4)][lane() % 4];
}
inline void load_matrices_transposed(u32 (&matrices)[4], const void* row,
                                     std::source_location where = std::source_location::current()) {
  const auto rows = matrix_rows(row, where);
  const auto half = [&](int m, int r) {
    return u32{reinterpret_cast<const u16*>(rows[static_cast<size_t>(8 * m + r)])[lane() / 4]};
  };
  for (int m = 0; m < 4; ++m) matrices[m] = half(m, 2 * (lane() % 4)) | half(m, 2 * (lane() % 4) + 1) << 16;
}

inline u32 to_tf32(u32 bits) {
  const bool finite = (bits & 0x7F800000) != 0x7F800000;
  return finite ? (bits + 0x1000) & ~0x1FFFu : bits;
}

// The products of one register of A and one of B.
template <class T>
float multiply_add(u32 a, u32 b, float sum) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr u32 kUsed = ~0x1FFFu;
    const u32 nan = 0x7FC00000;
    const auto operand = [&](u32 bits) {
      const float value = std::bit_cast<float>(bits);
      return value != value ? std::bit_cast<float>(nan) : std::bit_cast<float>(bits & kUsed);
    };
    return sum + operand(a) * operand(b);
  } else {
    const auto low = [](u32 bits) { return std::bit_cast<float>(bits << 16); };
    const auto high = [](u32 bits) { return std::bit_cast<float>(bits & 0xFFFF0000); };
    return sum + low(a) * low(b) + high(a) * high(b);
  }
}

template <class T>
void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1,
         std::source_location where = std::source_location::current()) {
  struct Fragments {
    u32 a[4], b[2];
  };
  const auto all = warp_values(Fragments{{a[0], a[1], a[2], a[3]}, {b0, b1}}, where);
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < 8; ++k) {  // in units of 4 bytes
      const int row = sum_row(lane(), i), column = sum_column(lane(), i), half = k / 4;
      d[i] = multiply_add<T>(all[static_cast<size_t>(row % 8 * 4 + k % 4)].a[row / 8 + 2 * half],
                             all[static_cast<size_t>(column * 4 + k % 4)].b[half], d[i]);
    }
}

#else

// Begins to copy 16 bytes to shared memory; zeros where `from` is null.
__device__ inline void copy_async(CopyPiece* to, const void* from) {
  asm volatile(
      "{\n .reg .pred none;\n setp.eq.u64 none, %1, 0;\n cp.async.cg.shared.global [%0], [%1], 16, none;\n}\n" ::"r"(
          static_cast<u32>(__cvta_generic_to_shared(to))),
      "l"(__cvta_generic_to_global(from))
      : "memory");
}
// Waits for those of this thread; a barrier makes them seen by others.
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_all;\n" ::: "memory");
}

// Four matrices of 8 rows of 16 bytes. Lane l gives the address of row l % 8 of matrix l / 8, and gets of each matrix
// bytes 4 (l % 4) ... of row l / 4.
__device__ inline void load_matrices(u32 (&matrices)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(static_cast<u32>(__cvta_generic_to_shared(row)))
               : "memory");
}
// The same of the matrices of 8 x 8 values of 2 bytes turned: values l / 4 of rows 2 (l % 4) and 2 (l % 4) + 1.
__device__ inline void load_matrices_transposed(u32 (&matrices)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(static_cast<u32>(__cvta_generic_to_shared(row)))
               : "memory");
}

// An f32 rounded to 11 bits, ties away from zero.
__device__ inline u32 to_tf32(u32 bits) {
  u32 rounded;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

// d += a b for the warp's fragments.
template <class T>
__device__ void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  if constexpr (std::is_same_v<T, float>)
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif

}  // namespace tessera::cuda
