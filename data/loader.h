// Batches from a data set: loaded by threads, delivered in an order that depends on nothing but (seed, position).
//
// Training reads an endless stream of samples, one shuffled epoch behind the other, and batch b is samples
// [b * N, (b + 1) * N) of it: no batch is short and a position is one integer. Evaluation reads every sample once, in
// order, and its last batch may be short.
//
// Pictures and masks for a device are put into memory that it reads by itself, and those of the batch after the one
// that is delivered travel while this one is computed (tensor/device_upload.h), if they have been loaded by then.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "data/sample.h"
#include "tensor/device_upload.h"

namespace tessera {

// A data set as the loader sees it. Its functions are called from several threads at once.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  virtual i64 size() const = 0;
  // Sample `index` of [0, size()) as it looks in `epoch`: the same two numbers always give the same sample. The n-th
  // repetition within an epoch comes as that of epoch + n * kRepetition, so that it looks another way.
  static constexpr i64 kRepetition = i64{1} << 32;
  virtual Sample load(i64 epoch, i64 index) const = 0;
  virtual ImageSize original_size(i64 index) const = 0;  // without reading the picture
  // Training: how many times an epoch has it, at least 1. Of the fraction an epoch draws by chance whether it counts.
  virtual double repeats(i64) const { return 1; }
  double drawn_per_epoch() const;  // samples, on average
};

struct LoaderConfig {
  i64 batch_size = 1;
  bool training = true;          // endless and shuffled; else once through, in order
  u64 seed = 0;                  // of the shuffling
  bool group_by_aspect = false;  // training: a batch holds only wide or only tall pictures, which saves padding
  int workers = 2;               // threads; 0 loads in next()
  int prefetch = 3;              // batches under way or waiting beside the one being used
  PixelStatistics statistics = {};
  i64 divisor = 32;      // padded sides are multiples of this
  ImageSize least = {};  // and at least this
  Device device = {};    // where pictures and masks of the batches lie
  // Of several processes each has one of `shares`: in training a part of every batch, as even as can be, of which
  // Batch::padded knows nothing of the others; in evaluation every so many-th batch.
  i64 share = 0, shares = 1;
};

// Which samples make up which batch.
class BatchOrder {
 public:
  struct Draw {
    i64 epoch, index;
    bool operator==(const Draw&) const = default;
  };

  BatchOrder(const SampleSource& source, const LoaderConfig& config);
  std::vector<Draw> next();  // the draws of the next batch; empty at the end of an evaluation
  void skip(i64 batches);

 private:
  void begin_epoch();
  std::optional<Draw> next_draw();

  LoaderConfig config_;
  std::vector<bool> wide_;       // per sample; empty without grouping
  std::vector<double> repeats_;  // per sample
  std::vector<Draw> epoch_order_;
  i64 epoch_ = -1;
  size_t taken_ = 0;             // draws of this epoch
  std::vector<Draw> groups_[2];  // drawn but waiting for their group to fill: tall, wide
};

class Loader {
 public:
  // Starts at batch `position` of the stream, exactly as if the batches before it had been taken.
  Loader(std::shared_ptr<const SampleSource> source, const LoaderConfig& config, i64 position = 0);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader();

  // The next batch; nothing at the end of an evaluation. An error while loading is thrown here, at its batch's turn (of
  // several in a batch the first sample's), and again on every further call.
  std::optional<Batch> next();

  i64 position() const { return position_; }  // batches taken: what a checkpoint keeps

 private:
  struct Slot {  // a batch under way
    std::vector<BatchOrder::Draw> draws;
    std::vector<Sample> samples;
    size_t claimed = 0, finished = 0;  // draws given to a thread, draws done
    size_t failed_at = SIZE_MAX;
    std::exception_ptr error;  // of draw failed_at
    std::optional<Batch> batch;
    bool ready = false;  // all draws done: either batch or error is there
  };

  std::vector<BatchOrder::Draw> next_draws();           // of this share; empty at the end of an evaluation
  void send_ahead(std::unique_lock<std::mutex>& lock);  // the first slot's batch, if it is ready
  Slot* open_slot();  // the slot with a draw to claim, if prefetch allows; under mutex_
  void load_one(std::unique_lock<std::mutex>& lock, Slot& slot);  // one draw; the last one makes the batch
  void work(const std::stop_token& stop);

  std::shared_ptr<const SampleSource> source_;
  LoaderConfig config_;
  i64 position_;

  std::mutex mutex_;  // guards all below
  std::condition_variable_any work_, done_;
  BatchOrder order_;
  i64 drawn_ = 0;  // batches of an evaluation, the other shares' among them
  bool exhausted_ = false;
  std::unique_ptr<DeviceUpload> upload_, delivered_;  // of the first slot's batch, and of the last that was delivered
  std::deque<Slot> slots_;  // in order of delivery; elements stay in place while others come and go
  std::vector<std::jthread> threads_;
};

}  // namespace tessera
