// Clips for tests: a bright square that moves over a dark ground, and files that other programs could have written.
#pragma once

#include <string>
#include <vector>

#include "data/video.h"

namespace tessera::test {

// Frame `i`: the square's left upper corner is at square_place(i).
Tensor moving_square(i64 i, ImageSize size = {64, 96});
i64 square_place(i64 i);
i64 find_square(const Tensor& frame);  // the i whose place fits best

std::vector<i64> even_times(i64 count);  // 0, 1, 2, ...
void write_clip(const std::filesystem::path& path, const std::vector<i64>& times, Fraction unit = {1, 25},
                const std::string& encoder = "", ImageSize size = {64, 96});

// All that is left to be read.
std::vector<VideoFrame> read_all(VideoReader& reader);

// An AVI file as cameras write it: a JPEG per frame, 10 in a second, and a second of sound where that is wanted; coded
// as `codec` says it is.
std::string avi_bytes(i64 frames, bool sound, const std::string& codec = "MJPG");
// A second of sound.
std::string wav_bytes();

}  // namespace tessera::test
