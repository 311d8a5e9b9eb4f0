// The one place that knows all families of networks. A configuration names a family and holds its options; training,
// evaluation, prediction and the command line ask here for a network, and know it as a Segmenter.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "models/effseg/config.h"
#include "models/fassst/config.h"
#include "models/fqdet/config.h"
#include "models/published.h"
#include "models/segmenter.h"
#include "models/sparseinst/config.h"

namespace tessera {

std::vector<std::string> family_names();
std::string known_families(const std::string& quote = "\"");  // for messages

// The configuration of one network. The name decides which options there are besides.
struct ModelConfig {
  using Network = std::variant<sparseinst::Config, fqdet::Config, effseg::Config, fassst::Config>;

  std::string name = "sparseinst";
  Network network;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(name, "family of networks: " + known_families());
    std::visit([&](auto& config) { config.fields(field); }, network);
  }

  // Takes the defaults of a family, unless it is chosen already; false where there is none of this name.
  bool choose(const std::string& family);

  i64 num_classes() const {
    return std::visit([](const auto& config) { return config.num_classes; }, network);
  }
  // How many of them, the first ones, are things: all, where the network does not tell them from stuff.
  i64 things() const {
    return std::visit(
        [](const auto& config) {
          if constexpr (requires { config.panoptic.things; })
            return config.panoptic.things;
          else
            return config.num_classes;
        },
        network);
  }
  void set_classes(i64 classes, i64 things) {
    std::visit(
        [&](auto& config) {
          config.num_classes = classes;
          if constexpr (requires { config.panoptic.things; }) config.panoptic.things = things;
        },
        network);
  }
};

// The network that the configuration names, with initial weights that depend on the seed alone.
std::unique_ptr<Segmenter> make_model(const ModelConfig& config, u64 seed);

// What was published of a family, table by table; throws for a name that is none.
std::vector<PublishedTable> published_tables(const std::string& family);
PublishedLatencies published_latencies(const std::string& family);  // throws also where there are none

}  // namespace tessera
