#include "cli/output.h"

#include "tensor/file.h"

namespace tessera {

void write_output(const std::filesystem::path& path, const std::string& text) {
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  write_file(path, text);
}

}  // namespace tessera
