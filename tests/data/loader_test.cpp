#include "data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <vector>

#include "tests/support/check_error.h"

namespace tessera {
namespace {

// Pictures of one colour, the colour being the index; every other one wide. Loading takes an irregular time.
class FakeSource : public SampleSource {
 public:
  explicit FakeSource(i64 size) : size_(size) {}
  i64 size() const override { return size_; }
  ImageSize original_size(i64 index) const override { return index % 2 ? ImageSize{4, 9} : ImageSize{9, 4}; }
  Sample load(i64 epoch, i64 index) const override {
    std::this_thread::sleep_for(std::chrono::microseconds((index * 37 + epoch * 11) % 5 * 100));
    loads_.fetch_add(1);
    TESSERA_CHECK(index != broken_ && index != broken_too_, "picture{}.png: cannot be decoded", index);
    Sample sample;
    const ImageSize size = original_size(index);
    sample.image = Tensor::full({size.height, size.width, 3}, static_cast<double>(index), DType::kU8);
    sample.original = size;
    sample.image_id = epoch;
    sample.index = index;
    return sample;
  }

  i64 broken_ = -1, broken_too_ = -1;
  mutable std::atomic<i64> loads_ = 0;

 private:
  i64 size_;
};

std::vector<i64> indices(const Batch& batch) {
  std::vector<i64> result;
  for (const Sample& sample : batch.samples) result.push_back(sample.index);
  return result;
}

std::vector<std::vector<i64>> take(Loader& loader, int batches) {
  std::vector<std::vector<i64>> result;
  for (int i = 0; i < batches; ++i) {
    const std::optional<Batch> batch = loader.next();
    REQUIRE(batch);
    CHECK(batch->position == loader.position() - 1);
    result.push_back(indices(*batch));
  }
  return result;
}

LoaderConfig training(i64 batch_size, int workers) {
  LoaderConfig config;
  config.batch_size = batch_size;
  config.seed = 5;
  config.workers = workers;
  return config;
}

TEST_CASE("loader: the shares of several processes make up every batch, in order") {
  const auto source = std::make_shared<FakeSource>(10);
  Loader whole(source, training(5, 2));
  const std::vector<std::vector<i64>> expected = take(whole, 4);
  std::vector<std::vector<i64>> joined(4);
  for (const i64 share : {0, 1, 2}) {
    LoaderConfig config = training(5, 2);
    config.share = share, config.shares = 3;
    Loader part(source, config, share == 1 ? 2 : 0);  // one goes on from a checkpoint
    size_t b = share == 1 ? 2 : 0;
    for (const std::vector<i64>& batch : take(part, static_cast<int>(4 - b))) {
      CHECK(batch.size() == (share == 0 ? 1 : 2));
      joined[b].insert(joined[b].end(), batch.begin(), batch.end());
      ++b;
    }
  }
  for (const size_t b : {2, 3}) CHECK(joined[b] == expected[b]);
  LoaderConfig config = training(2, 0);
  config.share = 0, config.shares = 3;
  CHECK_ERROR(Loader(source, config), "batches of 2 images cannot be shared by 3 processes");
}

TEST_CASE("loader: in an evaluation every process has every so many-th batch") {
  const auto source = std::make_shared<FakeSource>(7);
  std::vector<i64> seen;
  for (const i64 share : {0, 1, 2}) {
    LoaderConfig config{.batch_size = 2, .training = false, .workers = static_cast<int>(share)};
    config.share = share, config.shares = 3;
    Loader part(source, config);
    const std::vector<std::vector<i64>> expected[] = {{{0, 1}, {6}}, {{2, 3}}, {{4, 5}}};
    CHECK(take(part, share == 0 ? 2 : 1) == expected[share]);
    CHECK_FALSE(part.next());
  }
}

TEST_CASE("loader: training reads shuffled epochs one behind the other, no batch short") {
  const auto source = std::make_shared<FakeSource>(10);
  Loader loader(source, training(4, 2));
  std::vector<i64> stream;
  for (const std::vector<i64>& batch : take(loader, 5)) {
    CHECK(batch.size() == 4);
    stream.insert(stream.end(), batch.begin(), batch.end());
  }
  const std::vector<i64> first(stream.begin(), stream.begin() + 10), second(stream.begin() + 10, stream.end());
  CHECK(std::set<i64>(first.begin(), first.end()).size() == 10);
  CHECK(std::set<i64>(second.begin(), second.end()).size() == 10);
  CHECK(first != second);
  CHECK_FALSE(std::ranges::is_sorted(first));
}

TEST_CASE("loader: a sample that an epoch has several times looks another way each time, fractions count by chance") {
  class Repeating : public FakeSource {
   public:
    using FakeSource::FakeSource;
    double repeats(i64 index) const override { return index == 0 ? 3 : index == 1 ? 1.25 : 1; }
  };
  const auto source = std::make_shared<Repeating>(4);
  const auto drawn = [&](i64 position, int count) {
    BatchOrder order(*source, training(1, 0));
    order.skip(position);
    std::vector<BatchOrder::Draw> draws;
    for (int i = 0; i < count; ++i) draws.push_back(order.next().at(0));
    return draws;
  };
  const std::vector<BatchOrder::Draw> draws = drawn(0, 2500);
  i64 epochs = 0, twice = 0;
  for (size_t begin = 0; begin + 7 < draws.size(); ++epochs) {
    std::multiset<std::pair<i64, i64>> epoch;
    while (begin < draws.size() && draws[begin].epoch % SampleSource::kRepetition == epochs) {
      epoch.insert({draws[begin].index, draws[begin].epoch / SampleSource::kRepetition});
      ++begin;
    }
    if (begin + 7 >= draws.size()) break;
    twice += epoch.count({1, 1});
    epoch.erase({1, 1});
    CHECK(epoch == std::multiset<std::pair<i64, i64>>{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {2, 0}, {3, 0}});
  }
  CHECK(epochs > 380);
  CHECK(std::abs(static_cast<double>(twice) / static_cast<double>(epochs) - 0.25) < 0.07);
  const std::vector<BatchOrder::Draw> later = drawn(100, 50);
  CHECK(std::equal(later.begin(), later.end(), draws.begin() + 100));
}

TEST_CASE("loader: the order does not depend on the number of threads, only on the seed") {
  const auto source = std::make_shared<FakeSource>(23);
  Loader alone(source, training(3, 0));
  const std::vector<std::vector<i64>> expected = take(alone, 30);
  for (const int workers : {1, 3, 8}) {
    Loader loader(source, training(3, workers));
    CHECK(take(loader, 30) == expected);
  }
  LoaderConfig other = training(3, 1);
  other.seed = 6;
  Loader loader(source, other);
  CHECK(take(loader, 30) != expected);
}

TEST_CASE("loader: starting at a position continues exactly there") {
  const auto source = std::make_shared<FakeSource>(13);
  for (const bool group : {false, true}) {
    LoaderConfig config = training(4, 3);
    config.group_by_aspect = group;
    Loader whole(source, config);
    const std::vector<std::vector<i64>> expected = take(whole, 20);
    for (const i64 position : {1, 3, 7, 19}) {
      Loader resumed(source, config, position);
      CHECK(resumed.position() == position);
      CHECK(take(resumed, static_cast<int>(20 - position)) ==
            std::vector<std::vector<i64>>(expected.begin() + position, expected.end()));
    }
  }
}

TEST_CASE("loader: grouped batches are all wide or all tall, and nothing is lost") {
  const auto source = std::make_shared<FakeSource>(12);
  LoaderConfig config = training(4, 2);
  config.group_by_aspect = true;
  Loader loader(source, config);
  std::vector<int> seen(12);
  for (const std::vector<i64>& batch : take(loader, 30)) {
    for (const i64 index : batch) {
      CHECK(index % 2 == batch[0] % 2);
      ++seen[index];
    }
  }
  for (const int count : seen) CHECK(count >= 9);  // 120 samples over 12 pictures, at most 6 waiting
}

TEST_CASE("loader: evaluation reads each sample once in order and keeps the short last batch") {
  const auto source = std::make_shared<FakeSource>(11);
  for (const int workers : {0, 1, 4}) {
    LoaderConfig config = training(4, workers);
    config.training = false;
    config.group_by_aspect = true;  // of no meaning here
    Loader loader(source, config);
    CHECK(take(loader, 3) == std::vector<std::vector<i64>>{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10}});
    CHECK_FALSE(loader.next());
    CHECK_FALSE(loader.next());
  }
}

TEST_CASE("loader: a batch keeps its pictures' sizes, and is padded to a multiple of the divisor") {
  const auto source = std::make_shared<FakeSource>(2);
  LoaderConfig config = training(2, 1);
  config.training = false;
  config.divisor = 8;
  config.statistics.mean[1] = 7;
  Loader loader(source, config);
  const Batch batch = *loader.next();
  CHECK(batch.padded == ImageSize{16, 16});
  CHECK(batch.size() == 2);
  CHECK(batch.size_of(1) == ImageSize{4, 9});
  CHECK(batch.statistics.mean[1] == 7);
}

TEST_CASE("loader: an error in a thread is thrown at its batch's turn, the first sample's, again and again") {
  const auto source = std::make_shared<FakeSource>(20);
  source->broken_ = 10;
  source->broken_too_ = 9;
  for (const int workers : {0, 1, 4}) {
    LoaderConfig config = training(4, workers);
    config.training = false;
    Loader loader(source, config);
    take(loader, 2);
    for (int again = 0; again < 2; ++again) CHECK_ERROR(loader.next(), "picture9.png: cannot be decoded");
    CHECK(loader.position() == 2);
  }
}

TEST_CASE("loader: no more batches are prepared than prefetch allows, and leaving early is clean") {
  const auto source = std::make_shared<FakeSource>(1000);
  {
    LoaderConfig config = training(2, 3);
    config.prefetch = 4;
    Loader loader(source, config);
    take(loader, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    CHECK(source->loads_ <= 2 * (4 + 1));
  }
  for (int round = 0; round < 20; ++round) Loader(source, training(2, 3));  // stopped while loading
}

TEST_CASE("loader: an empty data set and settings that make no sense are errors") {
  CHECK_ERROR(Loader(std::make_shared<FakeSource>(0), training(1, 1)), "holds no images");
  const auto source = std::make_shared<FakeSource>(3);
  CHECK_ERROR(Loader(source, training(0, 1)), "batch_size is 0");
  CHECK_ERROR(Loader(source, training(1, -1)), "-1 workers");
  CHECK_ERROR(Loader(source, training(1, 1), -2), "cannot start at batch -2");
  CHECK_ERROR(make_batch({}), "0 samples");
}

}  // namespace
}  // namespace tessera
