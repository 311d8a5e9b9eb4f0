// What can be known of a run before its first step: that it would fail hours later, and what it does other than meant.
#pragma once

#include <string>
#include <vector>

#include "data/coco_source.h"
#include "train/config.h"

namespace tessera {

// Throws when a picture of the set does not exist, cannot be read or is of another size than annotated: one error with
// the number and the first names of each kind. Reads the headers alone, on all threads. `folder_option` is what the
// user sets the folder with, for the message.
void check_pictures(const CocoSource& source, const std::string& folder_option);

// The pictures of both sets of a run, and whether the validation set (null: none) suits training set and metric. Throws
// one error that tells all.
void check_data(const Config& config, const CocoSource& train, const CocoSource* val);

// What a user should know of the data and the schedule before waiting for the run, a line each: objects that are left
// out, more of them in a picture than the network can find, a schedule and periods that the run is too short for.
std::vector<std::string> warnings(const Segmenter& model, const Config& config, const CocoSource& train,
                                  const CocoSource* val);

// "val.json: there will be no bbox figures: 2 of 7 annotations have no box (4, 9)", a line for each such metric of
// those that are told with this one.
std::vector<std::string> missing_figures(const CocoDataset& truth, const std::string& metric);

void print_warnings(const std::vector<std::string>& warnings);  // on stderr, a line each

}  // namespace tessera
