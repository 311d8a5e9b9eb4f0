#include "cli/measure.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

#include "data/noise.h"
#include "tensor/allocator.h"

namespace tessera {

namespace {

constexpr ImageSize kUsualPicture = {480, 640};
constexpr i64 kObjects = 5, kWarmUp = 2, kFewestRuns = 5;

}  // namespace

ImageSize parse_size(const std::string& text) {
  const auto number = [&](std::string_view part) {
    i64 value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    TESSERA_CHECK(error == std::errc() && end == part.data() + part.size() && value >= 3 && value <= 16384,
                  "size {}: height x width is needed, each from 3 to 16384, as in 480x640", text);
    return value;
  };
  const std::string_view view = text;
  const size_t x = view.find('x');
  if (x == std::string_view::npos) return {number(view), number(view)};
  return {number(view.substr(0, x)), number(view.substr(x + 1))};
}

Batch measured_batch(const Config& config, const std::optional<ImageSize>& size) {
  const ImageSize seen = size ? *size : config.input.size_of(kUsualPicture);
  std::vector<Sample> samples = noise_samples(1, seen, kObjects, config.model.num_classes());
  if (!size) samples[0].original = kUsualPicture;
  return make_batch(std::move(samples), config.input.statistics(), config.input.divisor, config.input.least());
}

std::vector<nn::ModuleRun> measure_modules(Segmenter& model, const Batch& batch) {
  model.eval();
  const NoGrad no_grad;
  return nn::profile(model, [&] { model.detect(batch); });
}

Memory measure_memory(Segmenter& model, const Batch& batch) {
  Memory memory;
  model.eval();
  reset_peak();
  const size_t before = memory_report().allocated;
  {
    const NoGrad no_grad;
    model.detect(batch);
  }
  memory.forward = memory_report().peak - before;
  model.train();
  {
    const Losses losses = model.losses(batch, {});
    memory.tape = memory_report().allocated - before;
  }
  model.eval();
  return memory;
}

Percentiles percentiles(std::vector<double> values) {
  TESSERA_CHECK(!values.empty(), "percentiles: there are no values");
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const size_t below = static_cast<size_t>(place), above = std::min(below + 1, values.size() - 1);
    return std::lerp(values[below], values[above], place - std::floor(place));
  };
  return {at(0.1), at(0.5), at(0.9), at(0.99)};
}

Speed measure_speed(Segmenter& model, const Batch& batch, double seconds,
                    const std::function<void(double share)>& done) {
  using Clock = std::chrono::steady_clock;
  for (i64 i = 0; i < kWarmUp; ++i) measure_modules(model, batch);
  Speed speed;
  std::vector<std::string> names;
  std::vector<std::vector<double>> parts;
  std::vector<double> totals, rest;
  const Clock::time_point start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  for (; speed.runs < kFewestRuns || elapsed() < seconds; ++speed.runs) {
    size_t part = 0;
    for (const nn::ModuleRun& run : measure_modules(model, batch)) {
      if (run.depth == 0) {
        totals.push_back(run.seconds);
        rest.push_back(run.own_seconds);
      } else if (run.depth == 1 && run.seconds > 0) {  // also one that hands on to what is below it
        if (speed.runs == 0) {
          names.push_back(run.name);
          parts.emplace_back();
        }
        parts[part++].push_back(run.seconds);
      }
    }
    if (done)
      done(std::min(elapsed() / std::max(seconds, 1e-9),
                    static_cast<double>(speed.runs + 1) / static_cast<double>(kFewestRuns)));
  }
  speed.seconds = percentiles(totals);
  for (size_t i = 0; i < names.size(); ++i) speed.parts.push_back({names[i], percentiles(parts[i])});
  if (!names.empty()) speed.parts.push_back({"post-processing", percentiles(rest)});
  return speed;
}

}  // namespace tessera
