#include "train/schedule.h"

#include <doctest/doctest.h>

using namespace tessera;

TEST_CASE("schedule: the warm-up is linear from warmup_factor to 1") {
  const ScheduleConfig config;  // 1000 steps from 0.001
  CHECK(lr_factor(config, 0, 270'000) == doctest::Approx(0.001).epsilon(1e-12));
  CHECK(lr_factor(config, 1, 270'000) == doctest::Approx(0.001 * 0.999 + 0.001).epsilon(1e-12));
  CHECK(lr_factor(config, 500, 270'000) == doctest::Approx(0.5005).epsilon(1e-12));
  CHECK(lr_factor(config, 999, 270'000) == doctest::Approx(0.999001).epsilon(1e-12));
  CHECK(lr_factor(config, 1000, 270'000) == 1);
}

TEST_CASE("schedule: multi_step falls by gamma at each milestone and not before") {
  const ScheduleConfig config;
  CHECK(lr_factor(config, 209'999, 270'000) == 1);
  CHECK(lr_factor(config, 210'000, 270'000) == doctest::Approx(0.1).epsilon(1e-12));
  CHECK(lr_factor(config, 249'999, 270'000) == doctest::Approx(0.1).epsilon(1e-12));
  CHECK(lr_factor(config, 250'000, 270'000) == doctest::Approx(0.01).epsilon(1e-12));
}

TEST_CASE("schedule: cosine goes from 1 over the middle to final_factor; constant stays") {
  ScheduleConfig config{.kind = ScheduleKind::kCosine, .final_factor = 0.2, .warmup_steps = 0};
  CHECK(lr_factor(config, 0, 100) == doctest::Approx(1).epsilon(1e-12));
  CHECK(lr_factor(config, 50, 100) == doctest::Approx(0.6).epsilon(1e-12));
  CHECK(lr_factor(config, 100, 100) == doctest::Approx(0.2).epsilon(1e-12));
  config.kind = ScheduleKind::kConstant;
  CHECK(lr_factor(config, 99, 100) == 1);
}
