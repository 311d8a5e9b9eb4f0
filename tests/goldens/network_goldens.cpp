#include "tests/goldens/network_goldens.h"

#include <vector>

namespace tessera::goldens {

namespace {

std::vector<NetworkGoldens>& networks() {
  static std::vector<NetworkGoldens> all;
  return all;
}

}  // namespace

bool add_network(const NetworkGoldens& network) {
  networks().push_back(network);
  return true;
}

int check_network(const std::filesystem::path& path, Report& report) {
  const SafeTensors file = SafeTensors::open(path);
  for (const NetworkGoldens& network : networks())
    if (network.recognises(file) && (report.dtype == DType::kF32 || network.in_bf16))
      return network.check(file, report);
  report.missing(path.filename().string(), report.dtype == DType::kF32
                                               ? "no network of this build recognises the file"
                                               : "no network of this build is compared with it in bf16");
  return 1;
}

}  // namespace tessera::goldens
