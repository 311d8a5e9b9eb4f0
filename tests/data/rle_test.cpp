#include "data/rle.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tensor/random.h"
#include "tests/data/mask_cases.h"
#include "tests/support/check_error.h"

namespace tessera {
namespace {

TEST_CASE("rle: a small mask worked out by hand") {
  //  . # .
  //  # # .      down the columns: . #   # #   . .   ->  1 background, 3 foreground, 2 background
  const Tensor mask = Tensor::from(std::vector<u8>{0, 1, 0, 1, 255, 0}, {2, 3});
  const Rle rle = encode_rle(mask);
  CHECK(rle == Rle{2, 3, {1, 3, 2}});
  CHECK(rle_to_string(rle) == "132");
  CHECK(rle_from_string("132", 2, 3) == rle);
  CHECK(rle_area(rle) == 3);
  CHECK(rle_bbox(rle) == XywhBox{0, 0, 2, 2});
  const Tensor back = decode_rle(rle);
  CHECK(std::vector<u8>(back.span<u8>().begin(), back.span<u8>().end()) == std::vector<u8>{0, 1, 0, 1, 1, 0});
}

TEST_CASE("rle: strings, runs, area, box and encoding equal the COCO mask API's") {
  for (const nlohmann::json& item : test::mask_cases()["cases"]) {
    INFO(item["name"].get<std::string>());
    const std::string text = item["counts"];
    const Rle rle = rle_from_string(text, item["h"], item["w"]);
    CHECK(rle.counts == item["runs"].get<std::vector<u32>>());
    CHECK(rle_to_string(rle) == text);
    CHECK(rle_area(rle) == item["area"].get<i64>());
    CHECK(rle_bbox(rle) == item["bbox"].get<XywhBox>());
    const Tensor mask = decode_rle(rle);
    i64 foreground = 0;
    for (const u8 value : mask.span<u8>()) foreground += value;
    CHECK(foreground == rle_area(rle));
    CHECK(rle_to_string(encode_rle(mask)) == item["reencoded_counts"].get<std::string>());
  }
}

TEST_CASE("rle: encoding a mask wider than a strip equals its runs") {
  const Rle rle{3, 200, {100, 37, 60, 5, 198, 200}};
  CHECK(encode_rle(decode_rle(rle)) == rle);
  CHECK(encode_rle(Tensor::zeros({5, 7}, DType::kU8)) == Rle{5, 7, {35}});
  CHECK(encode_rle(Tensor::full({5, 7}, 1, DType::kU8)) == Rle{5, 7, {0, 35}});
}

TEST_CASE("rle: encoding equals a walk over the pixels, whatever the lengths of the runs") {
  Random random(3);
  for (const double change : {0.5, 0.1, 0.01}) {
    Tensor mask = Tensor::empty({37, 150}, DType::kU8);
    u8 value = 0;
    for (u8& pixel : mask.span<u8>())
      pixel = value = random.chance(change) ? static_cast<u8>(value ? 0 : random.integer(1, 255)) : value;
    const Rle rle = encode_rle(mask);
    const Tensor back = decode_rle(rle);
    CHECK(std::ranges::equal(mask.span<u8>(), back.span<u8>(), [](u8 a, u8 b) { return (a != 0) == (b != 0); }));
    for (size_t i = 1; i < rle.counts.size(); ++i) CHECK(rle.counts[i] > 0);
  }
}

TEST_CASE("rle: the area common to two masks") {
  const Rle a{2, 3, {1, 3, 2}}, b{2, 3, {2, 3, 1}}, zero_runs{2, 3, {1, 1, 0, 2, 2}};
  CHECK(rle_common_area(a, b) == 2);
  CHECK(rle_common_area(a, a) == 3);
  CHECK(rle_common_area(a, zero_runs) == 3);
  CHECK(rle_common_area(a, Rle{2, 3, {6}}) == 0);
  CHECK_ERROR(rle_common_area(a, Rle{3, 2, {6}}), "2 x 3 and 3 x 2");
}

TEST_CASE("rle: merging folds from the left, as the COCO mask API does") {
  const Rle a{2, 3, {1, 3, 2}}, b{2, 3, {2, 3, 1}}, zero_runs{2, 3, {1, 1, 0, 2, 2}};
  CHECK(rle_merge(std::vector{a, b}) == Rle{2, 3, {1, 4, 1}});
  CHECK(rle_merge(std::vector{a, b}, true) == Rle{2, 3, {2, 2, 2}});
  CHECK(rle_merge(std::vector{zero_runs}) == zero_runs);
  CHECK(rle_merge(std::vector<Rle>{}) == Rle{});
  CHECK(rle_merge(std::vector{a, Rle{3, 2, {6}}}) == Rle{});
}

TEST_CASE("rle: what does not describe a mask is an error") {
  CHECK_ERROR(rle_from_string("131", 2, 3), "add up to 5");
  CHECK_ERROR(rle_from_string("133", 2, 3), "run 2 is 3");
  CHECK_ERROR(rle_from_string("", 2, 3), "0 runs add up to 0");
  CHECK_ERROR(rle_from_string("13P", 2, 3), "ends inside a number");
  CHECK_ERROR(rle_from_string("1 3", 2, 3), "has code 32");
  CHECK_ERROR(rle_from_string("13\xff", 2, 3), "has code 255");
  CHECK_ERROR(rle_from_string("O15", 2, 3), "run 0 is -1");
  CHECK_ERROR(rle_from_string(std::string(40, 'o') + "0", 2, 3), "too many digits");
  CHECK_ERROR(rle_from_string("111I", 2, 3), "run 3 is -6");  // a negative difference larger than the run before
  CHECK_ERROR(rle_from_string("0", 0, 3), "0 x 3");
  CHECK_ERROR(rle_from_string("0", -2, -3), "-2 x -3");
  CHECK_ERROR(rle_from_string("0", i64{1} << 62, 4), "is not possible");
  CHECK_ERROR(rle_from_string("0", 1 << 20, 1 << 20), "is not possible");
  CHECK_ERROR(check_rle(Rle{2, 3, {1, 3, 1}}), "add up to 5");
  CHECK_ERROR(check_rle(Rle{2, 3, {4294967295u, 7}}), "add up to 4294967302");  // 6 when 32 bits wrap
  CHECK_ERROR(decode_rle(Rle{2, 3, {7}}), "add up to 7");
  CHECK_ERROR(encode_rle(Tensor::zeros({2, 3, 1}, DType::kU8)), "[2, 3, 1]");
  CHECK_ERROR(encode_rle(Tensor::zeros({2, 3})), "u8");
  std::vector<u8> block(5);
  CHECK_ERROR(decode_rle(Rle{2, 3, {6}}, block), "5 bytes");
}

}  // namespace
}  // namespace tessera
