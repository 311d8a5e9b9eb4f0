// act(y + bias + residual) over a matrix that a library's product has written, in pieces of 16 bytes where its sizes
// and addresses allow it; bounded by reading and writing y.
#include <limits>

#include "ops/cuda/apply_epilogue.h"
#include "ops/cuda/channels.h"
#include "ops/cuda/conv_epilogue.h"
#include "ops/cuda/divider.h"

namespace tessera::cuda {

namespace {

template <class T, int kWidth>
__global__ void epilogue_kernel(i64 n, Divider pieces_of_row, i64 pitch, ConvEpilogue<T> epilogue, T* y) {
  struct Piece {
    i64 at;
    Channels<kWidth> values;
  };
  read_then_write(
      n,
      [&](i64 i) {
        const u32 piece = static_cast<u32>(i), c = piece % pieces_of_row * kWidth;
        const i64 at = piece / pieces_of_row * pitch + c;
        auto values = Channels<kWidth>::load(y + at);
        values.add(1, epilogue.template begin<kWidth>(c));
        return Piece{at, epilogue.finish(values, at)};
      },
      [&](i64, const Piece& piece) { piece.values.store(y + piece.at); });
}

}  // namespace

template <class T>
void apply_epilogue(i64 rows, i64 columns, i64 pitch, const T* bias, const T* residual, ops::Activation activation,
                    T* y) {
  dispatch_pieces<T>(columns, {y, y + pitch, bias, residual}, [&]<int kWidth>() {
    const i64 n = rows * columns / kWidth;
    TESSERA_CHECK(n <= std::numeric_limits<i32>::max(),
                  "{}: {} x {} numbers are too many for one kernel; use a smaller batch", OpScope::current(), rows,
                  columns);
    launch<epilogue_kernel<T, kWidth>>(over_batches(n), n, Divider(columns / kWidth), pitch,
                                       ConvEpilogue<T>{bias, residual, activation}, y);
  });
}

template void apply_epilogue(i64, i64, i64, const float*, const float*, ops::Activation, float*);
template void apply_epilogue(i64, i64, i64, const BFloat16*, const BFloat16*, ops::Activation, BFloat16*);

}  // namespace tessera::cuda
