// Picture files built byte by byte, for what the engine itself never writes: JPEG, EXIF, alpha, 16 bits.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace tessera::test {

struct JpegOptions {
  bool progressive = false, arithmetic = false, ycck = false;
  int restart_interval = 0;  // in blocks of pixels
};

// u8 [H, W, C] as a JPEG of quality 95 without subsampling: grey, RGB, or four inks, which get Adobe's marker.
std::string jpeg_bytes(const Tensor& image, const JpegOptions& options = {});

// An EXIF block with one entry, the orientation; and a JPEG with the block as its APP1 segment.
std::string exif_block(int orientation, bool little_endian);
std::string with_exif(const std::string& jpeg, const std::string& block);

// A PNG chunk with its checksum.
std::string png_chunk(const std::string& type, const std::string& data);

// A PNG of PNG colour type `colour` (0 grey, 2 RGB, 4 grey + alpha, 6 RGBA) and `depth` bits per sample from raw rows.
std::string png_bytes(i64 height, i64 width, int colour, int depth, const std::vector<u8>& samples);
void set_png_size(std::string& png, u32 height, u32 width);  // in the header, with the right checksum

}  // namespace tessera::test
