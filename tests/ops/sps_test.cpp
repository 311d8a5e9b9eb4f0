// The bookkeeping of SPS: ids, cells, and what is wrong with broken structures.
#include "ops/sps.h"

#include <omp.h>

#include <limits>

#include "ops/sps_conv2d.h"
#include "tests/ops/compare.h"
#include "tests/ops/sps_structures.h"
#include "tests/support/check_error.h"

namespace tessera::test {

namespace {

using ops::SpsStructure;

Tensor numbers(const std::vector<i64>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}

bool equal(const Tensor& got, const std::vector<i64>& expected) {
  return std::ranges::equal(got.span<i64>(), expected);
}

// Every active id stands at its own cell and nowhere else; every passive row covers at least one cell.
void check_whole(const SpsStructure& s) {
  std::vector<i64> covers(static_cast<size_t>(s.active() + s.passive), 0);
  for (const i64 id : s.index_map.span<i64>()) {
    REQUIRE(id >= 0);
    REQUIRE(id < s.active() + s.passive);
    ++covers[static_cast<size_t>(id)];
  }
  for (i64 a = 0; a < s.active(); ++a) {
    REQUIRE(covers[static_cast<size_t>(a)] == 1);
    const i64* cell = cell_of(s, a);
    REQUIRE(id_at(s, cell[ops::kSpsRoi], cell[ops::kSpsX], cell[ops::kSpsY]) == a);
  }
  for (const i64 count : covers) REQUIRE(count > 0);
}

}  // namespace

TEST_CASE("sps: two rounds of selecting and upsampling, by hand") {
  const SpsStructure dense = ops::sps_dense(2, numbers({7}, {1}), numbers({1}, {1}));
  CHECK(equal(dense.index_map, {0, 1, 2, 3}));
  CHECK(equal(dense.cells, {0, 0, 0, 7, 1, 0, 1, 0, 7, 1, 0, 0, 1, 7, 1, 0, 1, 1, 7, 1}));
  CHECK(dense.passive == 0);

  const ops::SpsSelection first = ops::sps_select(dense, Tensor::from(std::vector<u8>{0, 1, 1, 0}));
  CHECK(equal(first.kept, {1, 2}));
  CHECK(equal(first.dropped, {0, 3}));
  CHECK(equal(first.structure.index_map, {2, 0, 1, 3}));
  CHECK(first.structure.passive == 2);

  const SpsStructure up = ops::sps_upsample(first.structure);
  CHECK(equal(up.index_map, {8, 8, 0, 1,  //
                             8, 8, 2, 3,  //
                             4, 5, 9, 9,  //
                             6, 7, 9, 9}));
  CHECK(up.passive == 2);
  CHECK(equal(up.cells, {0, 2, 0, 7, 0, 0, 3, 0, 7, 0, 0, 2, 1, 7, 0, 0, 3, 1, 7, 0,
                         0, 0, 2, 7, 0, 0, 1, 2, 7, 0, 0, 0, 3, 7, 0, 0, 1, 3, 7, 0}));

  // The old passive rows come first, then the dropped ones in their order; the level stays at 0.
  const ops::SpsSelection second = ops::sps_select(up, Tensor::from(std::vector<u8>{1, 0, 0, 0, 0, 0, 0, 1}));
  CHECK(equal(second.structure.index_map, {2, 2, 0, 4,  //
                                           2, 2, 5, 6,  //
                                           7, 8, 3, 3,  //
                                           9, 1, 3, 3}));
  CHECK(second.structure.passive == 8);
  CHECK(equal(second.structure.cells, {0, 2, 0, 7, 0, 0, 1, 3, 7, 0}));
  CHECK(equal(ops::sps_rows(second.structure), {2, 13}));
}

TEST_CASE("sps: structures stay whole over random rounds, whatever the number of threads") {
  const int threads = omp_get_max_threads();
  for (u64 seed = 0; seed < 40; ++seed) {
    Random random(seed);
    const i64 R = random.integer(0, 4), size = random.integer(1, 9);
    const std::vector<double> shares = {random.uniform(), random.uniform(), random.uniform()};
    const Random before = random;
    omp_set_num_threads(1);
    const SpsStructure one = random_structure(random, R, size, shares);
    check_whole(one);
    for (const int count : {2, 3, 7}) {
      omp_set_num_threads(count);
      Random again = before;
      const SpsStructure many = random_structure(again, R, size, shares);
      CHECK(same_bits(one.index_map, many.index_map));
      CHECK(same_bits(one.cells, many.cells));
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE("sps: selecting, upsampling and neighbours agree with the definition, cell by cell") {
  for (u64 seed = 0; seed < 1500; ++seed) {
    Random random(seed);
    std::vector<double> shares(static_cast<size_t>(random.integer(0, 2)));
    for (double& share : shares) share = random.uniform();
    const SpsStructure s = random_structure(random, random.integer(0, 3), random.integer(1, 5), shares);
    Tensor mask = Tensor::empty({s.active()}, DType::kU8);
    std::vector<i64> kept, dropped;
    for (i64 a = 0; a < s.active(); ++a) {
      const i64 keep = random.integer(0, 2);
      mask.data<u8>()[a] = static_cast<u8>(keep);
      (keep ? kept : dropped).push_back(a);
    }
    INFO("seed ", seed, ", R ", s.rois(), ", S ", s.size(), ", N_A ", s.active(), ", N_P ", s.passive);

    const ops::SpsSelection selection = ops::sps_select(s, mask);
    const i64 n = std::ssize(kept);
    REQUIRE(equal(selection.kept, kept));
    REQUIRE(equal(selection.dropped, dropped));
    REQUIRE(selection.structure.passive == s.passive + std::ssize(dropped));
    for (i64 cell = 0; cell < s.index_map.numel(); ++cell) {
      const i64 old = s.index_map.data<i64>()[cell], id = selection.structure.index_map.data<i64>()[cell];
      if (old >= s.active())
        REQUIRE(id == n + old - s.active());
      else if (mask.data<u8>()[old])
        REQUIRE(kept[static_cast<size_t>(id)] == old);
      else
        REQUIRE(dropped[static_cast<size_t>(id - n - s.passive)] == old);
    }

    const SpsStructure& parent = selection.structure;
    const SpsStructure up = ops::sps_upsample(parent);
    REQUIRE(up.active() == 4 * n);
    REQUIRE(up.passive == parent.passive);
    for (i64 r = 0; r < up.rois(); ++r)
      for (i64 y = 0; y < up.size(); ++y)
        for (i64 x = 0; x < up.size(); ++x) {
          const i64 old = id_at(parent, r, x / 2, y / 2);
          REQUIRE(id_at(up, r, x, y) == (old < n ? 4 * old + y % 2 * 2 + x % 2 : old + 3 * n));
        }
    check_whole(up);

    const i64 dilation = random.integer(1, 6);
    const Tensor ids = ops::sps_neighbours(up, dilation).ids, expected = tap_ids(up, dilation);
    for (i64 i = 0; i < ids.numel(); ++i) REQUIRE(ids.data<i32>()[i] == expected.data<i64>()[i]);
  }
}

TEST_CASE("sps_top_mask: the largest scores, all when there are few, the first among equal ones") {
  const auto mask = [](const std::vector<float>& scores, i64 k) {
    const Tensor m = ops::sps_top_mask(Tensor::from(scores), k);
    return std::vector<u8>(m.span<u8>().begin(), m.span<u8>().end());
  };
  CHECK(mask({3, 1, 2, 5}, 2) == std::vector<u8>{1, 0, 0, 1});
  CHECK(mask({2, 2, 2}, 2) == std::vector<u8>{1, 1, 0});
  CHECK(mask({-1, -2}, 2) == std::vector<u8>{1, 1});
  CHECK(mask({-1, -2}, 0) == std::vector<u8>{0, 0});
  CHECK(mask({}, 3).empty());
  CHECK_ERROR(ops::sps_top_mask(Tensor::zeros({2, 2}), 1), "sps_top_mask: scores must be [N_A]");
}

TEST_CASE("sps: broken structures are errors, never accesses") {
  const SpsStructure good = ops::sps_dense(2, numbers({0}, {1}), numbers({0}, {1}));
  const Tensor all = Tensor::full({4}, 1, DType::kU8);
  const auto with = [&](const std::vector<i64>& map) { return SpsStructure{numbers(map, {1, 2, 2}), good.cells, 0}; };
  CHECK_ERROR(ops::sps_select(with({0, 1, 2, 4}), all), "sps_select: the index map holds 4");
  CHECK_ERROR(ops::sps_select(with({0, -1, 2, 3}), all), "sps_select: the index map holds -1");
  CHECK_ERROR(ops::sps_neighbours(with({0, 1, 2, 4}), 1), "sps_neighbours: the index map holds 4 at grid 0, (1, 1)");
  CHECK_ERROR(ops::sps_neighbours(with({0, 1, 3, 2}), 1), "each at its own cell");
  const auto neighbours = [&](const std::vector<i64>& map) {  // three active rows and a passive one
    return ops::sps_neighbours({numbers(map, {1, 2, 2}), good.cells.rows(0, 3), 1}, 1);
  };
  CHECK(neighbours({0, 1, 2, 3}).ids.span<i32>()[8] == 3);
  CHECK_ERROR(neighbours({3, 1, 2, 3}), "sps_neighbours: the index map holds 3 at grid 0, (0, 0)");
  CHECK_ERROR(neighbours({0, 1, 2, 1}), "sps_neighbours: the index map holds 1 at grid 0, (1, 1)");
  for (const i64 id : {i64{4}, i64{-1}, std::numeric_limits<i64>::min(), std::numeric_limits<i64>::max()})
    CHECK_ERROR(neighbours({0, 1, 2, id}), "at grid 0, (1, 1); there are 3 active rows, each at its own cell, and 1");
  SpsStructure outside = good;
  outside.cells = good.cells.clone();
  outside.cells.data<i64>()[ops::kSpsX] = 2;
  CHECK_ERROR(ops::sps_rows(outside), "sps: active row 0 lies in grid 0 at (2, 0)");
  SpsStructure flat = good;
  flat.index_map = numbers({0, 1, 2, 3}, {1, 1, 4});
  CHECK_ERROR(ops::sps_upsample(flat), "sps_upsample: the index map must be i64 [R, S, S], got i64 [1, 1, 4]");
  SpsStructure few = good;
  few.cells = Tensor::zeros({4, 3}, DType::kI64);
  CHECK_ERROR(ops::sps_rows(few), "sps_rows: the cells must be i64 [N_A, 5], got i64 [4, 3]");
  CHECK_ERROR(ops::sps_dense(2, numbers({0}, {1}), numbers({0, 0}, {2})), "sps_dense: level must be i64 [1]");
}

TEST_CASE("sps_overwrite: any dtype, only the active cells") {
  const SpsStructure dense = ops::sps_dense(2, numbers({0}, {1}), numbers({0}, {1}));
  const SpsStructure some = ops::sps_select(dense, Tensor::from(std::vector<u8>{0, 1, 0, 1})).structure;
  const Tensor y = ops::sps_overwrite(numbers({1, 2, 3, 4}, {1, 2, 2, 1}), numbers({8, 9}, {2, 1}), some);
  CHECK(equal(y, {1, 8, 3, 9}));
  CHECK_ERROR(ops::sps_overwrite(Tensor::zeros({1, 2, 2, 1}), numbers({8, 9}, {2, 1}), some),
              "sps_overwrite: the values must be f32 [2, 1], got i64 [2, 1]");
}

}  // namespace tessera::test
