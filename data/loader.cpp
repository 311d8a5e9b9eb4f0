#include "data/loader.h"

#include <utility>

#include "tensor/random.h"

namespace tessera {

double SampleSource::drawn_per_epoch() const {
  double sum = 0;
  for (i64 index = 0; index < size(); ++index) sum += repeats(index);
  return sum;
}

BatchOrder::BatchOrder(const SampleSource& source, const LoaderConfig& config) : config_(config) {
  TESSERA_CHECK(source.size() > 0, "loader: the data set holds no images to load");
  TESSERA_CHECK(config.batch_size > 0, "loader: batch_size is {}, expected at least 1", config.batch_size);
  for (i64 index = 0; index < source.size(); ++index) repeats_.push_back(config.training ? source.repeats(index) : 1);
  if (!config.training || !config.group_by_aspect) return;
  for (i64 index = 0; index < source.size(); ++index) {
    const ImageSize size = source.original_size(index);
    wide_.push_back(size.width > size.height);
  }
}

void BatchOrder::begin_epoch() {
  taken_ = 0;
  epoch_order_.clear();
  const u64 epoch = static_cast<u64>(++epoch_);
  Random fractions(config_.seed, stream_of("repeat", {epoch}));
  for (size_t index = 0; index < repeats_.size(); ++index) {
    i64 times = static_cast<i64>(repeats_[index]);
    if (const double rest = repeats_[index] - static_cast<double>(times); rest > 0) times += fractions.chance(rest);
    for (i64 n = 0; n < times; ++n)
      epoch_order_.push_back({epoch_ + n * SampleSource::kRepetition, static_cast<i64>(index)});
  }
  if (config_.training) Random(config_.seed, stream_of("shuffle", {epoch})).shuffle(std::span(epoch_order_));
}

std::optional<BatchOrder::Draw> BatchOrder::next_draw() {
  if (taken_ == epoch_order_.size()) {
    if (!config_.training && epoch_ == 0) return std::nullopt;
    begin_epoch();
  }
  return epoch_order_[taken_++];
}

std::vector<BatchOrder::Draw> BatchOrder::next() {
  while (true) {
    const std::optional<Draw> draw = next_draw();
    if (!draw) return std::exchange(groups_[0], {});
    std::vector<Draw>& group = groups_[wide_.empty() ? 0 : wide_[static_cast<size_t>(draw->index)]];
    group.push_back(*draw);
    if (static_cast<i64>(group.size()) == config_.batch_size) return std::exchange(group, {});
  }
}

void BatchOrder::skip(i64 batches) {
  // Only the numbers are drawn again, no picture is read: a million samples take a few hundredths of a second.
  for (i64 i = 0; i < batches; ++i) next();
}

namespace {

// What is large.
std::array<Tensor*, 2> travelling(Sample& sample) {
  return {&sample.image, &sample.targets.masks};
}

}  // namespace

Loader::Loader(std::shared_ptr<const SampleSource> source, const LoaderConfig& config, i64 position)
    : source_(std::move(source)), config_(config), position_(position), order_(*source_, config) {
  TESSERA_CHECK(position >= 0, "loader: cannot start at batch {}", position);
  TESSERA_CHECK(config.workers >= 0 && config.prefetch >= 1,
                "loader: {} workers with prefetch {}: expected at least 0 and 1", config.workers, config.prefetch);
  TESSERA_CHECK(config.share >= 0 && config.share < config.shares, "loader: share {} of {}", config.share,
                config.shares);
  TESSERA_CHECK(!config.training || config.batch_size >= config.shares,
                "loader: batches of {} images cannot be shared by {} processes: raise training.batch_size, or start "
                "fewer of them",
                config.batch_size, config.shares);
  order_.skip(position);
  for (int i = 0; i < config.workers; ++i) threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

Loader::~Loader() {
  for (std::jthread& thread : threads_) thread.request_stop();
}  // the threads, declared last, are joined before anything they use goes

std::vector<BatchOrder::Draw> Loader::next_draws() {
  std::vector<BatchOrder::Draw> draws = order_.next();
  if (config_.training) {
    const i64 count = std::ssize(draws);
    const auto bound = [&](i64 share) { return draws.begin() + share * count / config_.shares; };
    return {bound(config_.share), bound(config_.share + 1)};
  }
  while (drawn_++ % config_.shares != config_.share) draws = order_.next();
  return draws;
}

Loader::Slot* Loader::open_slot() {
  if (!slots_.empty() && slots_.back().claimed < slots_.back().draws.size()) return &slots_.back();
  if (exhausted_ || slots_.size() >= static_cast<size_t>(config_.prefetch)) return nullptr;
  std::vector<BatchOrder::Draw> draws = next_draws();
  if (draws.empty()) {
    exhausted_ = true;
    done_.notify_all();
    return nullptr;
  }
  Slot& slot = slots_.emplace_back();
  slot.samples.resize(draws.size());
  slot.draws = std::move(draws);
  return &slot;
}

void Loader::load_one(std::unique_lock<std::mutex>& lock, Slot& slot) {
  const size_t place = slot.claimed++;
  const BatchOrder::Draw draw = slot.draws[place];
  std::exception_ptr error;
  lock.unlock();
  try {
    Sample& sample = slot.samples[place];  // nobody else touches this place: no lock needed
    sample = source_->load(draw.epoch, draw.index);
    for (Tensor* part : travelling(sample)) *part = pinned(*part, config_.device);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  if (error && place < slot.failed_at) {
    slot.failed_at = place;
    slot.error = error;
  }
  if (++slot.finished < slot.draws.size()) return;

  std::optional<Batch> batch;
  if (!slot.error) {
    lock.unlock();
    try {
      batch = make_batch(std::move(slot.samples), config_.statistics, config_.divisor, config_.least);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot.error = error;
    slot.batch = std::move(batch);
  }
  slot.ready = true;
  done_.notify_all();
}

void Loader::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    Slot* slot = nullptr;
    work_.wait(lock, stop, [&] { return (slot = open_slot()) != nullptr; });
    if (slot && !stop.stop_requested()) load_one(lock, *slot);
  }
}

std::optional<Batch> Loader::next() {
  delivered_.reset();
  std::unique_lock lock(mutex_);
  while (slots_.empty() || !slots_.front().ready) {
    if (exhausted_ && slots_.empty()) return std::nullopt;
    if (config_.workers > 0) {
      done_.wait(lock);
    } else if (Slot* slot = open_slot()) {
      load_one(lock, *slot);
    }
  }
  Slot& slot = slots_.front();
  if (slot.error) std::rethrow_exception(slot.error);
  send_ahead(lock);
  if (upload_) upload_->join();
  delivered_ = std::move(upload_);
  std::optional<Batch> batch = std::move(slot.batch);
  slots_.pop_front();
  batch->position = position_++;
  send_ahead(lock);
  lock.unlock();
  work_.notify_all();
  return batch;
}

void Loader::send_ahead(std::unique_lock<std::mutex>& lock) {
  if (config_.device == Device{} || upload_ || slots_.empty() || !slots_.front().ready || slots_.front().error) return;
  Batch& batch = *slots_.front().batch;
  lock.unlock();
  upload_ = std::make_unique<DeviceUpload>(config_.device);
  for (Sample& sample : batch.samples)
    for (Tensor* part : travelling(sample))
      if (*part) *part = upload_->copy(*part);
  lock.lock();
}

}  // namespace tessera
