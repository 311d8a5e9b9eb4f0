#include "cli/tracks.h"

#include <algorithm>

#include "data/overlap.h"

namespace tessera {

namespace {

constexpr double kLeastOverlap = 0.3;
constexpr i64 kMissed = 10;  // frames

double overlap(const Instance& a, const Instance& b) {
  return a.has_mask() && b.has_mask() ? mask_overlap(RleView(a.mask), RleView(b.mask), false)
                                      : box_overlap(a.box, b.box, false);
}

struct Pair {
  double overlap;
  size_t track, object;
};

}  // namespace

std::vector<i64> Tracks::follow(const std::vector<Instance>& objects) {
  std::vector<Pair> pairs;
  for (size_t t = 0; t < tracks_.size(); ++t)
    for (size_t i = 0; i < objects.size(); ++i) {
      if (tracks_[t].last.class_index != objects[i].class_index) continue;
      const double common = overlap(tracks_[t].last, objects[i]);
      if (common >= kLeastOverlap) pairs.push_back({common, t, i});
    }
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.overlap > b.overlap; });

  std::vector<i64> numbers(objects.size(), -1);
  for (Track& track : tracks_) ++track.missed;
  for (const Pair& pair : pairs) {
    Track& track = tracks_[pair.track];
    if (track.missed == 0 || numbers[pair.object] >= 0) continue;
    numbers[pair.object] = track.number;
    track = {track.number, objects[pair.object]};
  }
  for (size_t i = 0; i < objects.size(); ++i)
    if (numbers[i] < 0) tracks_.push_back({numbers[i] = next_++, objects[i]});
  std::erase_if(tracks_, [](const Track& track) { return track.missed > kMissed; });
  return numbers;
}

}  // namespace tessera
