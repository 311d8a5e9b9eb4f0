// Compressed run-length strings; the first two bytes are height and width.
#include "data/rle.h"

#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  if (bytes.size() < 2) return;
  const Rle rle = rle_from_string(bytes.substr(2), static_cast<u8>(bytes[0]), static_cast<u8>(bytes[1]));
  (void)rle_bbox(rle);
  const Rle canonical = encode_rle(decode_rle(rle));
  if (rle_area(canonical) != rle_area(rle)) std::abort();
  if (rle_from_string(rle_to_string(canonical), rle.height, rle.width) != canonical) std::abort();
}
