// What the files of ops/scalar/ have in common: the formulas of one element, box or point, once for the CPU's kernels,
// the SIMD files and CUDA's. TESSERA_HD stands before each function that devices call.
//
// All of it lies in anonymous namespaces, or takes an argument whose type does (pointwise.h). The SIMD files are
// compiled once per level, and of an inline function that several files have the linker keeps one copy, which might be
// the one made for AVX-512; a local function is each file's own.
#pragma once

#ifdef __CUDACC__
#define TESSERA_HD __host__ __device__
#else
#define TESSERA_HD
#endif
