// A folder that looks to the commands of the pages like a fresh checkout with what their readers have beside it: a
// download of COCO, own data, photographs, weights of the authors. All of it is small and made here.
#pragma once

#include "tests/cli/program.h"

namespace tessera::test {

// build/PRESET/NAME are the programs under test. Where a page's work is long they get short settings: two training
// steps, small pictures. ./run knows the commands of the real one and does nothing; wget and unzip do nothing.
class Checkout {
 public:
  Checkout();
  // A fresh copy of it, by links, for one page.
  void lay(const fs::path& folder) const;

 private:
  void write_programs() const;
  void write_data() const;
  void write_weights() const;
  void write_cityscapes() const;
  void write_panoptic() const;

  TemporaryFolder folder_;
};

// Runs the script in the folder; what it prints comes back, with the line that failed where one did.
Outcome run_script(const fs::path& folder, const std::string& script);

}  // namespace tessera::test
