// Panoptic quality (Kirillov et al., Panoptic Segmentation, CVPR 2019), as panopticapi computes it, and its boundary
// form, as the Boundary IoU tool has it (Cheng et al., CVPR 2021).
//
// Per picture, g an annotated segment and p a found one, void the pixels of no annotated segment (id 0):
//
//   IoU(g, p) = |g and p| / (|p| + area(g) - |g and p| - |p and void|)     area(g) as annotated, |p| in pixels
//               boundary form: the lesser of this and of the same of their boundaries, in pixels all of it
//   right     g and p of one category, g no crowd, IoU > 0.5
//   missed    a g that nothing matches, unless it is a crowd
//   wrong     a p that nothing matches, unless more than half of it lies in void and in the crowd of its category (of
//             several the last one in the file)
//
// and per category, over all pictures, where there is anything to count:
//
//   SQ = sum of the matches' IoU / right      RQ = right / (right + wrong / 2 + missed / 2)      PQ = SQ RQ
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/panoptic.h"

namespace tessera {

struct PanopticOptions {
  // Set: the boundary form, with boundaries this share of the picture's diagonal thick (0.02 is usual).
  std::optional<double> boundary_ratio;
  std::function<void(i64 done, i64 total)> progress;  // of pictures; called by one thread at a time
};

// What was found in a picture: segments that share no pixel, none of them empty.
struct PanopticFound {
  i64 category_id = 0;
  Rle mask;
};
// That of picture `i` of the annotations, which has this size; called by several threads at once.
using PanopticResults = std::function<std::vector<PanopticFound>(i64 i, i64 height, i64 width)>;

// Those of a panoptic file and its PNGs. Pictures that are not annotated are passed over; of two entries for a picture
// the later one counts. A picture without an entry, a segment that the JSON or the PNG does not have, a PNG that is
// missing or of another size are errors that name file, picture and segment. `truth` must outlive the function.
PanopticResults panoptic_result_file(const PanopticFile& truth, const std::filesystem::path& results);

struct PanopticCounts {
  double iou = 0;  // sum of the matches
  i64 right = 0, wrong = 0, missed = 0;
  bool any() const { return right + wrong + missed > 0; }
  double sq() const { return right > 0 ? iou / static_cast<double>(right) : 0; }
  double rq() const { return any() ? static_cast<double>(right) / weight() : 0; }
  double pq() const { return any() ? iou / weight() : 0; }

 private:
  double weight() const {
    return static_cast<double>(right) + 0.5 * static_cast<double>(wrong) + 0.5 * static_cast<double>(missed);
  }
};

// Means over categories that have anything to count, `categories` of them; 0 where there are none.
struct PanopticQuality {
  double pq = 0, sq = 0, rq = 0;
  i64 categories = 0;
};

struct PanopticScores {
  std::vector<CocoCategory> categories = {};  // as the file has them
  std::vector<PanopticCounts> counts = {};    // of each
  i64 images = 0, segments = 0;               // segments found
  bool boundary = false;

  PanopticQuality all() const;
  PanopticQuality things() const { return mean(true); }
  PanopticQuality stuff() const { return mean(false); }

 private:
  PanopticQuality mean(std::optional<bool> isthing) const;
};

// Pictures are read one by one, on all OpenMP threads. Overlaps are summed picture by picture in file order, in a
// picture by ascending id of g, then in the order of what was found: the result does not depend on the number of
// threads. Errors name the file.
PanopticScores evaluate_panoptic(const PanopticFile& truth, const PanopticResults& results,
                                 const PanopticOptions& options = {});

std::string panoptic_table(const PanopticScores& scores);  // times 100

// {"All", "Things", "Stuff": {"pq", "sq", "rq", "n"}, "per_class": {id: {"pq", "sq", "rq"}}} as panopticapi writes it,
// and "counts": {id: {"iou", "tp", "fp", "fn"}} of the categories that have any.
std::string panoptic_json(const PanopticScores& scores);

}  // namespace tessera
