// Choices that are made by timing what is there to choose from, such as the algorithm of a convolution on a GPU. A file
// keeps them: a machine makes each once, and later processes, which take what the file says, get the same bits.
//
// The file is text. After its first line, which names the format, each line is one choice: what it is for, a tab, what
// was chosen. Lines are only ever added, each in one piece, and the first one for a thing counts, so a process that
// dies leaves at most a last line that says nothing. What is no such line is passed over, and a file that begins
// otherwise is left alone; both are told on stderr.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera::ops {

// $XDG_CACHE_HOME/tessera, or else ~/.cache/tessera; empty where neither variable is set.
std::filesystem::path cache_folder();

// The file for a machine, whose name has all that a choice depends on: hardware, driver, library.
std::filesystem::path choices_file(const std::filesystem::path& folder, std::string machine);

// Those that are there, of whatever machines.
std::vector<std::filesystem::path> choices_files(const std::filesystem::path& folder);

// Of times, the index of the least; one that is less than 2 % above it and stands before it is taken in its place,
// since that much is noise. Infinity: did not run. Nothing where nothing ran.
std::optional<size_t> fastest(std::span<const double> times);

// For one thread at a time; other processes and other objects may have the same file.
class TunedChoices {
 public:
  // An empty path: choices are kept as long as the object. So they are where the file cannot be written.
  explicit TunedChoices(std::filesystem::path file) : file_(std::move(file)), usable_(!file_.empty()) {}

  // What was chosen for `what`: here before, by whoever wrote to the file, or else now by tune(), for which processes
  // with the same file wait for each other. An empty choice is none and is not kept.
  std::string choose(const std::string& what, const std::function<std::string()>& tune);

 private:
  void read(int file);
  void add(int file, const std::string& what, const std::string& choice);
  void give_up(const char* reason);  // the file

  std::filesystem::path file_;
  std::map<std::string, std::string> choices_;
  bool usable_;        // the file, as far as is known
  bool told_ = false;  // of damaged lines
  std::string lead_;   // what has to stand between the file as it is and another line
};

}  // namespace tessera::ops
