// What becomes of the objects that `tessera predict` finds: the files that other programs read.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/coco.h"
#include "models/segmenter.h"
#include "train/loaded_model.h"

namespace tessera {

struct FoundPicture {
  CocoImage image;                  // as the results call it
  std::string name;                 // of its files, without an extension: "left/0001"
  std::vector<Instance> instances;  // in the model's order
};

// A format of results. What a picture has for itself is written beside the other pictures, what all have in common in
// the end.
class Findings {
 public:
  virtual ~Findings() = default;

  // Everything that will be written for pictures of these names.
  virtual std::vector<std::filesystem::path> outputs(const std::vector<std::string>& names) const = 0;
  // Whether the pictures bring everything that evaluation judges, or what is an object to a user: not empty, and above
  // the model's score_threshold.
  virtual bool takes_all() const { return false; }
  // Called before the first picture is written.
  virtual void begin() {}
  // Writes the picture's own files. Called on several threads at once.
  virtual void write(const FoundPicture& /*picture*/) const {}
  // Takes the picture into the results, once its own files are there: in the order of the call.
  virtual void add(FoundPicture picture) = 0;
  // Writes the results and returns what they are: "results.json (7 objects)".
  virtual std::string save() = 0;
};

// In the folder `out`: results.json, counts.csv with the objects of each class per picture whose score is at least
// `threshold`, and images.json where there are no annotations, whose image ids these would be; of
// a network that finds segments panoptic.json and a folder of PNGs; where the annotations are a folder of Cityscapes
// its result files.
std::unique_ptr<Findings> make_findings(const LoadedModel& model, const std::filesystem::path& out,
                                        const std::filesystem::path& annotations, double threshold);

}  // namespace tessera
