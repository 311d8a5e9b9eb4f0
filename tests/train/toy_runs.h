// Runs of the toy, and what they leave in their folder.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/file.h"
#include "tests/train/toy.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

namespace tessera::test {

namespace fs = std::filesystem;

// 12 steps of 2 x 2 images with everything on: clipping, averages, evaluation every 4 steps, a checkpoint every 5.
inline Job make_job(const std::filesystem::path& folder) {
  Job job;
  job.config.optimizer = {.lr = 0.05, .clip_norm = 1};
  job.config.schedule.warmup_steps = 3;
  TrainingConfig& training = job.config.training;
  training.steps = 12;
  training.batch_size = 2;
  training.accumulate = 2;
  training.ema_decay = 0.9;
  training.checkpoint_every = 5;
  job.config.evaluation.every = 4;
  job.folder = folder;
  job.data = std::make_shared<Noise>();
  job.classes = {"noise"};
  job.category_ids = {1};
  job.evaluate = [](Segmenter& model) -> std::optional<Scores> {
    return Scores{{"segm", {{"AP", dynamic_cast<Toy&>(model).weight.value().span<float>()[0]}}}};
  };
  job.quiet = true;
  return job;
}

// The lines of a log without what depends on the clock.
inline std::vector<std::string> timeless(const std::filesystem::path& folder) {
  std::istringstream lines(read_file(folder / "log.jsonl"));
  std::vector<std::string> result;
  for (std::string line; std::getline(lines, line);) {
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(line);
    for (const char* key : {"ms", "images_per_s", "memory_mb", "waiting_ms", "rank_images_per_s", "seconds"})
      json.erase(key);
    result.push_back(json.dump());
  }
  return result;
}

// The step of the log's last line: in an evaluation, the one it belongs to.
inline i64 logged_step(const fs::path& folder) {
  return nlohmann::json::parse(timeless(folder).back())["step"];
}

inline std::string final_checkpoint(const std::filesystem::path& folder) {
  return read_file(checkpoint_path(folder, 12));
}

inline void run_whole(const std::filesystem::path& folder) {
  Toy toy;
  CHECK(train(toy, make_job(folder)) == 0);
}

inline void resume(const std::filesystem::path& folder) {
  Toy toy;
  Job job = make_job(folder);
  job.resume = true;
  CHECK(train(toy, job) == 0);
}

// A run that ended early goes on and becomes, bit for bit, the one that did not.
inline void check_resumes(const fs::path& folder, const fs::path& whole) {
  CAPTURE(folder.string());
  resume(folder);
  CHECK(timeless(folder) == timeless(whole));
  CHECK(final_checkpoint(folder) == final_checkpoint(whole));
  CHECK(read_file(best_path(folder)) == read_file(best_path(whole)));
}

// The message of a run that ends with an error.
inline std::string failure(Toy& toy, const Job& job) {
  try {
    train(toy, job);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Every file of a folder with its content.
inline std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  if (fs::exists(folder))
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      files[entry.path().filename().string()] = read_file(entry.path());
  return files;
}

}  // namespace tessera::test
