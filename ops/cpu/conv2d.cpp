// Dense and grouped convolution on the CPU: one matrix product per group (ops/cpu/gemm.h), whose A (forward, input
// gradient) or B (weight gradient) are patches that are pointed at, never copied as a whole.
//
//   forward         y  [pixels, Co]       = patches(x)  [pixels, T x Ci] w^T          (+ bias, + residual, ReLU)
//   input gradient  gx [pixels mod s, Ci] = patches(gy) [pixels mod s, T x Co] w      s^2 products, no scatter
//   weight gradient gw [Co, T x Ci]       = gy^T        [Co, pixels] patches(x)       K = pixels, split and summed
//
// T kernel positions; of the input gradient, those that reach a pixel.
#include "ops/conv2d.h"

#include "ops/cpu/depthwise.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/patches.h"
#include "ops/cpu/winograd.h"
#include "ops/precision.h"

namespace tessera::ops {
namespace {

// Few channels (an image, a stem) make short runs. With dilation 1 the kernel positions of one row are neighbours in
// memory, so on a padded copy of x a whole row of the kernel is one run of Kw * Ci elements.
constexpr i64 kFewChannels = 12;

bool joins_positions(const Conv2dDims& dims) {
  return dims.groups == 1 && dims.Ci <= kFewChannels && dims.Kw > 1 && dims.dilation == 1;
}

template <class T>
Tensor padded_copy(const Conv2dDims& dims, const Tensor& x) {
  const i64 p = dims.padding, H = dims.H + 2 * p, W = dims.W + 2 * p, C = dims.Ci;
  Tensor copy = Tensor::empty({dims.N, H, W, C}, x.dtype());
  const T* from = x.data<T>();
  T* to = copy.data<T>();
#pragma omp parallel for collapse(2) schedule(static) if (copy.numel() > 100000)
  for (i64 n = 0; n < dims.N; ++n)
    for (i64 h = 0; h < H; ++h) {
      T* row = to + (n * H + h) * W * C;
      if (h < p || h >= p + dims.H) {
        std::fill_n(row, W * C, T(0));
      } else {
        std::fill_n(row, p * C, T(0));
        std::copy_n(from + (n * dims.H + h - p) * dims.W * C, dims.W * C, row + p * C);
        std::fill_n(row + (p + dims.W) * C, p * C, T(0));
      }
    }
  return copy;
}

// The table of Gemm::a_rows.
template <class T>
void fill_table(const cpu::Patches& patches, const T* image, const T* zeros, i64 row, i64 count, const T** table) {
  const i64 runs = static_cast<i64>(patches.positions.size());
  patches.each(image, zeros, row, count, 0, patches.positions.size(), [&](i64 i, size_t t, const T* at) {
    table[(i / cpu::kTileRows * runs + static_cast<i64>(t)) * cpu::kTileRows + i % cpu::kTileRows] = at;
  });
}

// What the forward and the weight gradient read: x itself position by position, or its padded copy kernel row by kernel
// row.
template <class T>
struct InputPatches {
  Tensor image, zeros;
  cpu::Patches patches;
  i64 run_depth;

  InputPatches(const Conv2dDims& dims, const Tensor& x)
      : image(x), patches(patches_of(dims)), run_depth(dims.group_in()) {
    if (joins_positions(dims)) {
      image = padded_copy<T>(dims, x);
      run_depth = dims.Kw * dims.Ci;
    }
    zeros = Tensor::zeros({run_depth}, x.dtype());
  }

  static cpu::Patches patches_of(const Conv2dDims& dims) {
    if (!joins_positions(dims)) return cpu::forward_patches(dims);
    Conv2dDims rows = dims;
    rows.H += 2 * dims.padding;
    rows.W += 2 * dims.padding;
    rows.padding = 0;
    rows.Kw = 1;
    return cpu::forward_patches(rows);
  }

  // Gemm::a_rows.
  auto rows(i64 group_stride) const {
    return [this, group_stride](i64 group, i64 row, i64 count, const T** table, T*) {
      fill_table(patches, image.data<T>() + group * group_stride, zeros.data<T>(), row, count, table);
    };
  }
};

// The product without A and C: all that packing B must know.
template <class T>
cpu::Gemm<T> product(i64 groups, i64 columns, i64 runs, i64 run_depth) {
  return {.items = groups, .columns = columns, .runs = runs, .run_depth = run_depth};
}

// B((t, i), o) = w[o, t, i]
template <class T>
auto weight_panels(const Tensor& weight, i64 groups) {
  const i64 depth = weight.numel() / weight.dim(0);
  return cpu::pack_b_transposed(weight.data<T>(), depth, weight.dim(0) / groups * depth);
}

// `form` is the packed weight; where it is undefined, weight is packed on the way.
template <class T>
void forward(const Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& form, const Tensor& bias,
             const Tensor& residual, Activation activation, Tensor& y) {
  const InputPatches<T> input(dims, x);
  cpu::Gemm<T> gemm =
      product<T>(dims.groups, dims.group_out(), static_cast<i64>(input.patches.positions.size()), input.run_depth);
  gemm.rows = input.patches.rows();
  if (dims.Kh * dims.Kw == 1 && dims.stride == 1 && dims.padding == 0) {  // x is the matrix
    gemm.a_rows = cpu::matrix_rows(x.data<T>(), dims.Ci, dims.group_in());
  } else {
    gemm.a_rows = input.rows(dims.group_in());
  }
  if (form.defined()) {
    gemm.packed_b = form.data<T>();
  } else {
    gemm.pack_b = weight_panels<T>(weight, dims.groups);
  }
  gemm.c_rows = cpu::matrix_rows_out(y.data<T>(), dims.Co, dims.group_out());
  if (bias.defined()) gemm.bias = bias.data<T>();
  if (residual.defined()) gemm.residual_rows = cpu::matrix_rows_out(residual.data<T>(), dims.Co, dims.group_out());
  gemm.relu = activation != Activation::kNone;
  gemm.ceiling = cpu::ceiling_of<T>(activation);
  cpu::run(gemm);
}

template <class T>
void backward_input(const Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  const Tensor zeros = Tensor::zeros({dims.group_out()}, gy.dtype());
  const i64 Go = dims.group_out(), Gi = dims.group_in(), positions = dims.Kh * dims.Kw, s = dims.stride;
  const auto copy_strided = simd::gemm_kernels.get<T>().copy_strided;
  for (i64 residue = 0; residue < s * s; ++residue) {
    const i64 residue_h = residue / s, residue_w = residue % s;
    const cpu::Patches patches = cpu::backward_patches(dims, residue_h, residue_w);
    const i64 runs = static_cast<i64>(patches.positions.size());
    cpu::Gemm<T> gemm{.items = dims.groups, .rows = patches.rows(), .columns = Gi, .runs = runs, .run_depth = Go};
    gemm.a_rows = [&, from = gy.data<T>()](i64 group, i64 row, i64 count, const T** table, T*) {
      fill_table(patches, from + group * Go, zeros.data<T>(), row, count, table);
    };
    // B((t, o), i) = w[o, position of t, i]
    gemm.pack_b = [&, w = weight.data<T>()](i64 group, i64 k, i64 depth, i64 column, i64 count, T* out, i64 stride) {
      while (depth > 0) {
        const i64 t = k / Go, o = k % Go, run = std::min(depth, Go - o);
        const T* from =
            w + ((group * Go + o) * positions + patches.positions[static_cast<size_t>(t)].index) * Gi + column;
        copy_strided(from, positions * Gi, run, count, out, stride);
        k += run, depth -= run, out += run * stride;
      }
    };
    gemm.c_rows = [&, to = gx.data<T>()](i64 group, i64 row, i64 count, T** rows) {
      for (i64 i = 0; i < count; ++i) {
        const i64 r = row + i, w = r % patches.grid_w * s + residue_w,
                  h = r / patches.grid_w % patches.grid_h * s + residue_h;
        const i64 n = r / (patches.grid_w * patches.grid_h);
        rows[i] = to + ((n * dims.H + h) * dims.W + w) * dims.Ci + group * Gi;
      }
    };
    cpu::run(gemm);
  }
}

template <class T>
void backward_weight(const Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw) {
  const InputPatches<T> input(dims, x);
  const i64 Go = dims.group_out(), Gi = dims.group_in(), columns = dims.Kh * dims.Kw * Gi, run_depth = input.run_depth;
  const auto copy_rows = simd::gemm_kernels.get<T>().copy_rows;
  cpu::Gemm<T> gemm{.items = dims.groups, .rows = Go, .columns = columns, .run_depth = input.patches.rows()};
  gemm.a_columns = gy.data<T>();
  gemm.a_step = dims.Co;
  gemm.a_item_stride = Go;
  gemm.keep_b = false;
  gemm.pack_b = [&, from = input.image.template data<T>(), zeros = input.zeros.template data<T>()](
                    i64 group, i64 pixel, i64 depth, i64 column, i64 count, T* out, i64 stride) {
    constexpr i64 kPixels = 64;
    const T* rows[kPixels];
    for (i64 j = 0; j < count;) {
      const i64 position = (column + j) / run_depth, offset = (column + j) % run_depth,
                width = std::min(count - j, run_depth - offset);
      const size_t t = static_cast<size_t>(position);
      for (i64 k = 0; k < depth; k += kPixels) {
        const i64 pixels = std::min(kPixels, depth - k);
        input.patches.each(from + group * Gi, zeros, pixel + k, pixels, t, t + 1,
                           [&](i64 i, size_t, const T* at) { rows[i] = at; });
        copy_rows(rows, offset, pixels, width, out + k * stride + j, stride);
      }
      j += width;
    }
  };
  gemm.c_rows = cpu::matrix_rows_out(gw.data<T>(), columns, Go * columns);
  cpu::run(gemm);
}

bool is_depthwise(const Conv2dDims& dims) {
  return dims.groups > 1 && dims.groups == dims.Ci && dims.Ci == dims.Co;
}

// Whether conv2d itself goes Winograd's way, with a weight that is transformed for this one call.
bool takes_winograd(const Conv2dDims& dims) {
  constexpr i64 kFewestPixels = 512;  // below, transforming the weight costs what the products save
  return arithmetic().winograd && !(has_tiles() && precision() != Precision::kHighest) &&
         cpu::winograd_suits_weight(dims) && cpu::winograd_suits_image(dims) &&
         dims.N * dims.Ho * dims.Wo >= kFewestPixels;
}

void conv2d_cpu(const Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                Activation activation, Tensor& y) {
  dispatch_float(x.dtype(), "conv2d", [&]<class T>() {
    if (is_depthwise(dims)) {
      cpu::depthwise<T>(dims, x, cpu::depthwise_pack<T>(weight), bias, Tensor(), activation, y);
    } else if (takes_winograd(dims)) {
      cpu::winograd<T>(dims, x, cpu::winograd_pack<T>(weight, dims.groups), bias, Tensor(), activation, y);
    } else {
      forward<T>(dims, x, weight, Tensor(), bias, Tensor(), activation, y);
    }
  });
}

// One of three forms: [Kh Kw, C] of a depthwise convolution, Winograd's, or the panels of the matrix product.
void conv2d_pack_cpu(const Conv2dDims& dims, const Tensor& weight, bool winograd, PackedConv2d& packed) {
  // Winograd's algorithm is worth its transforms where products are f32.
  if (has_tiles() && precision() != Precision::kHighest && weight.dtype() == DType::kF32) winograd = false;
  dispatch_float(weight.dtype(), "conv2d_pack", [&]<class T>() {
    packed.winograd = winograd && cpu::winograd_suits_weight(dims);
    if (is_depthwise(dims)) {
      packed.form = cpu::depthwise_pack<T>(weight);
    } else if (packed.winograd) {
      packed.form = cpu::winograd_pack<T>(weight, dims.groups);
    } else {
      const bool joined = joins_positions(dims);
      cpu::Gemm<T> gemm = product<T>(dims.groups, dims.group_out(), joined ? dims.Kh : dims.Kh * dims.Kw,
                                     joined ? dims.Kw * dims.Ci : dims.group_in());
      gemm.pack_b = weight_panels<T>(weight, dims.groups);
      packed.form = Tensor::empty({cpu::packed_b_size(gemm)}, weight.dtype());
      cpu::pack_whole_b(gemm, packed.form.data<T>());
    }
  });
  if (!packed.winograd) packed.weight = Tensor();  // Winograd's falls back on it for tiny images
}

void conv2d_packed_cpu(const Conv2dDims& dims, const Tensor& x, const PackedConv2d& packed, const Tensor& residual,
                       Tensor& y) {
  const Activation activation = packed.params.activation;
  dispatch_float(x.dtype(), "conv2d_packed", [&]<class T>() {
    if (is_depthwise(dims)) {
      cpu::depthwise<T>(dims, x, packed.form, packed.bias, residual, activation, y);
    } else if (packed.winograd && cpu::winograd_suits_image(dims)) {
      cpu::winograd<T>(dims, x, packed.form, packed.bias, residual, activation, y);
    } else {
      forward<T>(dims, x, packed.weight, packed.winograd ? Tensor() : packed.form, packed.bias, residual, activation,
                 y);
    }
  });
}

void conv2d_backward_input_cpu(const Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  dispatch_float(gy.dtype(), "conv2d_backward_input", [&]<class T>() {
    if (is_depthwise(dims)) return cpu::depthwise_backward_input<T>(dims, gy, weight, gx);
    if (dims.padding <= 2 && takes_winograd(cpu::winograd_backward_dims(dims)))
      return cpu::winograd_backward_input<T>(dims, gy, weight, gx);
    backward_input<T>(dims, gy, weight, gx);
  });
}

void conv2d_backward_weight_cpu(const Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw) {
  dispatch_float(gy.dtype(), "conv2d_backward_weight", [&]<class T>() {
    if (is_depthwise(dims)) return cpu::depthwise_backward_weight<T>(dims, gy, x, gw);
    backward_weight<T>(dims, gy, x, gw);
  });
}

const bool kAdded = conv2d_kernels.add(DeviceKind::kCpu, conv2d_cpu) &&
                    conv2d_pack_kernels.add(DeviceKind::kCpu, conv2d_pack_cpu) &&
                    conv2d_packed_kernels.add(DeviceKind::kCpu, conv2d_packed_cpu) &&
                    conv2d_backward_input_kernels.add(DeviceKind::kCpu, conv2d_backward_input_cpu) &&
                    conv2d_backward_weight_kernels.add(DeviceKind::kCpu, conv2d_backward_weight_cpu);

}  // namespace
}  // namespace tessera::ops
