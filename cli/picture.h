// Pictures of detected and annotated objects.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/coco.h"
#include "data/image.h"
#include "models/segmenter.h"

namespace tessera {

// Throws unless a picture of this size is what the data set says of its image. `file` is for the message.
void check_picture_size(const std::filesystem::path& file, ImageSize size, const CocoDataset& dataset, i64 position);

enum class Label { kName, kNameAndScore };

// The size of the picture that draw_instances() makes of an image of this size.
ImageSize drawn_size(ImageSize image);

// The image with every object's mask and outline, where it has one, the largest first, so that the small lie on top;
// and its box and label, which keeps clear of those of more certain objects as far as there is room around the box.
// Small images are enlarged by a whole factor, so that the labels can be read. image: u8 [H, W, 3]; masks of its size.
// colours: the number of each instance's colour; without them neighbours in certainty get neighbouring colours.
Tensor draw_instances(const Tensor& image, const std::vector<Instance>& instances,
                      const std::vector<std::string>& classes, Label label, const std::vector<i64>& colours = {});

// What is annotated (left, without crowd regions) beside what was found (right). classes: the model's.
Tensor draw_annotated_and_found(const Tensor& image, const CocoDataset& dataset, i64 position,
                                const std::vector<Instance>& found, const std::vector<std::string>& classes);

}  // namespace tessera
