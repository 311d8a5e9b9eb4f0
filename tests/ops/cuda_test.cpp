// What the CUDA kernels share, and what they do with values that the CPU's kernels refuse.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/cuda/group_by_key.h"
#include "ops/grid_sample.h"
#include "ops/roi_align.h"
#include "tests/ops/compare.h"
#include "tests/ops/op_case.h"
#include "tests/ops/sps_structures.h"
#include "tests/support/check_error.h"

namespace tessera::test {

namespace {

std::vector<Device> cuda_devices() {
  std::vector<Device> devices = registered_devices();
  std::erase(devices, Device{});
  return devices;
}

template <class T>
std::vector<T> list_of(const Tensor& x) {
  const Tensor host = x.to_host();
  return {host.span<T>().begin(), host.span<T>().end()};
}

}  // namespace

TEST_CASE("group_by_key: each key's items in ascending order, those beyond the last key in no group") {
  for (const Device device : cuda_devices())
    for (const auto& [items, keys] :
         {std::pair<i64, i64>{0, 0}, {0, 3}, {5, 0}, {1, 1}, {700, 1}, {3000, 255}, {3000, 256}, {9000, 70'000}}) {
      Random random(stream_of("group_by_key", {static_cast<u64>(items), static_cast<u64>(keys)}));
      std::vector<i32> key(static_cast<size_t>(items));
      for (i32& k : key) k = static_cast<i32>(random.integer(0, keys));
      const cuda::Groups groups = cuda::group_by_key(Tensor::from(key).to(device), keys);
      std::vector<i32> sorted(key.size());
      std::iota(sorted.begin(), sorted.end(), 0);
      std::ranges::stable_sort(sorted, {}, [&](i32 item) { return key[static_cast<size_t>(item)]; });
      CHECK(list_of<i32>(groups.items) == sorted);
      std::vector<i32> first(static_cast<size_t>(keys + 1));
      size_t below = 0;
      for (i64 k = 0; k <= keys; ++k) {
        while (below < sorted.size() && key[static_cast<size_t>(sorted[below])] < k) ++below;
        first[static_cast<size_t>(k)] = static_cast<i32>(below);
      }
      CHECK(list_of<i32>(groups.first) == first);
    }
  CHECK_ERROR(cuda::check_keys("op", i64{1} << 31, 1), "op: 2147483648 samples in 1 cells are too many");
}

TEST_CASE("sampling on a CUDA device: a point of no image is 0, and so is a roi of none or at NaN") {
  const Tensor points = Tensor::from(std::vector<float>{0.5, 0.5, 0.5, 0.5, 0.5, 0.5}, {3, 2});
  const Tensor image = Tensor::from(std::vector<i64>{-1, 0, 2});
  const Tensor rois = Tensor::from(
      std::vector<float>{0, 0, 0,   2, 2, 2, 0, 0, 2,        2, -1, 0, 0, 2, 2, 0.5, 0, 0, 2, 2, NAN, 0, 0, 2, 2,  //
                         0, 0, NAN, 2, 2, 1, 0, 0, INFINITY, 2},
      {7, 5});
  for (const Device device : cuda_devices()) {
    const Tensor x = Tensor::full({2, 3, 3, 1}, 1, DType::kF32, device);
    const Tensor y = ops::sample_points(x, image.to(device), points.to(device));
    CHECK(list_of<float>(y) == std::vector<float>{0, 1, 0});
    const Tensor gx = ops::sample_points_backward_input(y, image.to(device), points.to(device), x.shape());
    CHECK(list_of<float>(gx) == std::vector<float>{0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});

    const ops::RoiAlignParams params{.height = 1, .width = 1};
    const Tensor bins = ops::roi_align(x, rois.to(device), params);
    CHECK(list_of<float>(bins) == std::vector<float>{1, 0, 0, 0, 0, 0, 0});
    const Tensor ones = Tensor::full(bins.shape(), 1, DType::kF32, device);
    const std::vector<float> g = list_of<float>(ops::roi_align_backward(ones, rois.to(device), x.shape(), params));
    CHECK(std::accumulate(g.begin(), g.end(), 0.0f) == doctest::Approx(1));
  }
}

TEST_CASE("sps on a CUDA device: the same structures as on the CPU") {
  for (const Device device : cuda_devices())
    for (u64 seed = 0; seed < 6; ++seed) {
      Random random(seed);
      const ops::SpsStructure s = random_structure(random, random.integer(0, 4), random.integer(1, 9), {0.6});
      const ops::SpsStructure there = structure_on(s, device);
      std::vector<u8> keep(static_cast<size_t>(s.active()));
      for (u8& k : keep) k = static_cast<u8>(random.integer(0, 2));  // what is not 0 stays
      const ops::SpsSelection here = ops::sps_select(s, Tensor::from(keep));
      const Tensor mask = Tensor::from(keep).to(device);
      i64 kept = 0;
      Tensor order = Tensor::empty(mask.shape(), DType::kI64, device);
      Tensor map = Tensor::empty(s.index_map.shape(), DType::kI64, device);
      ops::sps_select_kernels(there.index_map, mask, s.passive, kept, order, map);
      CHECK(same_bits(map.to_host(), here.structure.index_map));
      CHECK(same_bits(order.rows(0, kept).to_host(), here.kept));
      CHECK(same_bits(order.rows(kept, s.active()).to_host(), here.dropped));
      CHECK(same_bits(ops::sps_rows(there).to_host(), ops::sps_rows(s)));
      const ops::SpsStructure up = ops::sps_upsample(s), up_there = ops::sps_upsample(there);
      CHECK(same_bits(up_there.index_map.to_host(), up.index_map));
      CHECK(same_bits(up_there.cells.to_host(), up.cells));
      for (const i64 dilation : {1, 2})
        CHECK(same_bits(ops::sps_neighbours(there, dilation).ids.to_host(), ops::sps_neighbours(s, dilation).ids));
    }
}

TEST_CASE("sps on a CUDA device: what is no row reads as the zero row, what is no cell is not written") {
  const Tensor one = Tensor::from(std::vector<i64>{0});
  for (const Device device : cuda_devices()) {
    ops::SpsStructure s = ops::sps_dense(2, one, one);
    s.index_map = Tensor::from(std::vector<i64>{0, 7, -1, 1}, {1, 2, 2});  // 1 stands where row 3 lies
    s.cells.data<i64>()[2 * ops::kSpsColumns + ops::kSpsX] = 5;            // row 2 lies nowhere
    s = structure_on(s, device);
    CHECK(list_of<i64>(ops::sps_rows(s)) == std::vector<i64>{0, 1, -1, 3});
    const Tensor ids = ops::sps_neighbours(s, 1).ids;
    CHECK(list_of<i32>(ids) == std::vector<i32>{4, 4, 4, 4, 0, 4, 4, 4, 4,  //
                                                4, 4, 4, 0, 4, 4, 4, 4, 4,  //
                                                4, 4, 4, 4, 4, 4, 4, 4, 4,  //
                                                0, 4, 4, 4, 4, 4, 4, 4, 4});
    const Tensor map = Tensor::zeros({1, 2, 2, 1}, DType::kU8, device);
    const Tensor values = Tensor::from(std::vector<u8>{1, 2, 3, 4}, {4, 1}).to(device);
    CHECK(list_of<u8>(ops::sps_overwrite(map, values, s)) == std::vector<u8>{1, 2, 0, 4});
  }
}

}  // namespace tessera::test
