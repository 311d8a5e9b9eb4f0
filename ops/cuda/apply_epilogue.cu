// act(y + bias + residual) over a matrix that a library's product has written: one thread per element, neighbours in
// memory; bounded by reading and writing y.
#include "ops/cuda/apply_epilogue.h"
#include "ops/cuda/conv_epilogue.h"

namespace tessera::cuda {

namespace {

template <class T>
__global__ void epilogue_kernel(i64 rows, i64 columns, i64 pitch, ConvEpilogue<T> epilogue, T* y) {
  for (const i64 i : indices(rows * columns)) {
    const i64 c = i % columns, at = i / columns * pitch + c;
    store(y + at, epilogue(load(y + at), at, c));
  }
}

}  // namespace

template <class T>
void apply_epilogue(i64 rows, i64 columns, i64 pitch, const T* bias, const T* residual, ops::Activation activation,
                    T* y) {
  launch<epilogue_kernel<T>>(over(rows * columns), rows, columns, pitch, ConvEpilogue<T>{bias, residual, activation},
                             y);
}

template void apply_epilogue(i64, i64, i64, const float*, const float*, ops::Activation, float*);
template void apply_epilogue(i64, i64, i64, const BFloat16*, const BFloat16*, ops::Activation, BFloat16*);

}  // namespace tessera::cuda
