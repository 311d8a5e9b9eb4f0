// Zip archives whose entries are stored without compression, which is how torch.save writes them; also Zip64.
//
// Nothing is unpacked: entries are views of the archive's bytes, so no archive can be larger inside than outside.
// Source: PKWARE's APPNOTE.TXT, sections 4.3 to 4.5.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace tessera {

struct ZipEntry {
  std::string_view name, bytes;
};

// The entries of the archive in `file`, in the order of its directory. `where` begins messages. Archives that are
// damaged, truncated, encrypted, or compressed are errors.
std::vector<ZipEntry> read_zip(std::string_view file, const std::string& where);

}  // namespace tessera
