#include "models/model.h"

#include <algorithm>
#include <vector>

#include "models/effseg/effseg.h"
#include "models/fassst/fassst.h"
#include "models/fqdet/fqdet.h"
#include "models/sparseinst/sparseinst.h"

namespace tessera {

namespace {

struct Family {
  std::string name;
  ModelConfig::Network defaults;
  std::vector<PublishedTable> (*published)();
  PublishedLatencies (*latencies)() = nullptr;
};

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {"sparseinst", sparseinst::Config(), sparseinst::published, sparseinst::published_latencies},
      {"fqdet", fqdet::Config(), fqdet::published},
      {"effseg", effseg::Config(), effseg::published},
      {"fassst", fassst::Config(), fassst::published}};
  return all;
}

const Family* find_family(const std::string& name) {
  const auto found = std::ranges::find(families(), name, &Family::name);
  return found == families().end() ? nullptr : &*found;
}

const Family& published_family(const std::string& name) {
  const Family* found = find_family(name);
  TESSERA_CHECK(found, "table: there is no table \"{}\"; {}", name, known_families(""));
  return *found;
}

}  // namespace

bool ModelConfig::choose(const std::string& family) {
  const Family* found = find_family(family);
  if (found && family != name) *this = {.name = family, .network = found->defaults};
  return found;
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const Family& family : families()) names.push_back(family.name);
  return names;
}

std::string known_families(const std::string& quote) {
  std::string names;
  for (const std::string& name : family_names()) names += (names.empty() ? "" : " or ") + quote + name + quote;
  return names;
}

std::unique_ptr<Segmenter> make_model(const ModelConfig& config, u64 seed) {
  return std::visit([&](const auto& network) { return make_model(network, seed); }, config.network);
}

std::vector<PublishedTable> published_tables(const std::string& family) {
  return published_family(family).published();
}

PublishedLatencies published_latencies(const std::string& family) {
  const Family& found = published_family(family);
  TESSERA_CHECK(found.latencies, "table --latency: nobody published how long the modules of {} take; of sparseinst",
                family);
  return found.latencies();
}

}  // namespace tessera
