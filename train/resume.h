// Resuming a run: its configuration is the one in the checkpoint, what is given anew is laid over it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "train/checkpoint.h"
#include "train/config.h"

namespace tessera {

// The settings that a checkpoint holds, also one of an earlier version, and the configuration that they make.
std::vector<Setting> stored_settings(const Checkpoint& checkpoint);
Config stored_config(const Checkpoint& checkpoint);

// What the run in `folder` knew at its checkpoint. The evaluation of that very step came after it: the log has it.
CheckpointInfo info_with_evaluation(const Checkpoint& checkpoint, const std::filesystem::path& folder);

struct OptionChange {
  std::string name, before, after;  // values as TOML
  bool new_figures = false;         // later figures of merit cannot be compared with earlier ones
  std::string str() const;          // "optimizer.lr: 0.001 -> 0.0005"
};

// What a resumed run with `config` does differently from then on, in the order of the options. Options that it cannot
// change, and fewer steps than are done already, are an error that lists them.
std::vector<OptionChange> changes_on_resume(const Checkpoint& checkpoint, const Config& config);

// What may become of the option of this name when a run is resumed.
struct ResumeRule {
  std::string_view prefix;         // of the options' names
  const char* fixed_because = "";  // why it cannot change; empty: it can
  bool new_figures = false;
};
const ResumeRule& resume_rule(const std::string& option);

}  // namespace tessera
