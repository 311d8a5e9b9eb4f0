// Copies beside other work. The emulated device makes them as late as it may: whoever reads the result before the join
// finds other numbers, and so does who changes the source too early.
#include "tensor/device_upload.h"

#include <doctest/doctest.h>

#include "data/loader.h"
#include "ops/pointwise.h"
#include "tests/cuda/other_device.h"
#include "tests/cuda/training_job.h"

namespace tessera {

namespace {

bool same(const Tensor& a, const Tensor& b) {
  const Tensor left = a.to_host(), right = b.to_host();
  return left.shape() == right.shape() &&
         std::equal(left.span<u8>().begin(), left.span<u8>().end(), right.span<u8>().begin());
}

}  // namespace

TEST_CASE("upload: a copy is on the device for what is launched after the join, whatever became of the source") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor x = Tensor::full({5000}, 3, DType::kF32, *device);
  Tensor next, sum;
  {
    DeviceUpload upload(*device);
    next = upload.copy(pinned(Tensor::full({5000}, 4), *device));   // nobody but the upload holds the source
    const Tensor other = pinned(Tensor::full({5000}, 9), *device);  // which must not get its memory
    sum = ops::add_scalar(x, 1);
    upload.join();
    sum = ops::add(sum, next);
  }
  CHECK(sum.to_host().span<float>()[4999] == 8);
  const Tensor again = pinned(Tensor::full({5000}, 1), *device);  // now it may
  CHECK(next.to_host().span<float>()[0] == 4);
}

TEST_CASE("upload: memory that launched work still uses gets no copy before that work is done") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Tensor x = Tensor::full({5000}, 3, DType::kF32, *device);
  const Tensor sum = ops::add_scalar(x, 1);
  const void* const place = x.raw();
  x = Tensor();
  DeviceUpload upload(*device);
  const Tensor next = upload.copy(pinned(Tensor::full({5000}, 7), *device));
  CHECK(next.raw() == place);
  upload.join();
  CHECK(sum.to_host().span<float>()[0] == 4);
  CHECK(next.to_host().span<float>()[0] == 7);
}

TEST_CASE("upload: pinned memory holds the same bytes, and is the tensor itself where there is none") {
  const Tensor x = Tensor::from(std::vector<u8>{1, 2, 3}, {3, 1});
  CHECK(pinned(x, {}).same_memory(x));
  CHECK_FALSE(pinned(Tensor(), {}).defined());
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor copy = pinned(x, *device);
  CHECK_FALSE(copy.same_memory(x));
  CHECK(copy.device() == Device{});
  CHECK(same(copy, x));
  CHECK(pinned(Tensor::zeros({0, 4}, DType::kU8), *device).numel() == 0);
}

TEST_CASE("upload: a loader delivers on the device what it delivers on the CPU, and counts what it delivered") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  for (const int workers : {0, 2})
    for (const bool training : {true, false}) {
      CAPTURE(workers);
      LoaderConfig config{.batch_size = 3, .training = training, .seed = 4, .workers = workers};
      const auto source = std::make_shared<test::Rectangles>();
      Loader here(source, config);
      config.device = *device;
      Loader there(source, config);
      for (int batch = 0; batch < 5; ++batch) {
        const std::optional<Batch> want = here.next(), got = there.next();
        REQUIRE(want.has_value() == got.has_value());
        CHECK(there.position() == here.position());
        if (!want) break;
        REQUIRE(got->size() == want->size());
        CHECK(got->position == want->position);
        for (size_t n = 0; n < want->samples.size(); ++n) {
          const Sample &a = got->samples[n], &b = want->samples[n];
          CHECK(a.index == b.index);
          CHECK(a.image.device() == *device);
          CHECK(a.targets.masks.device() == *device);
          CHECK(same(a.image, b.image));
          CHECK(same(a.targets.masks, b.targets.masks));
        }
      }
    }
}

}  // namespace tessera
