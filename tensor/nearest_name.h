// What a mistyped name may have meant: the one helper behind every "did you mean".
#pragma once

#include <string>
#include <vector>

namespace tessera {

// How many single-letter insertions, deletions, replacements and exchanges of neighbours turn a into b (Damerau's
// distance, in its form that edits no substring twice).
size_t edit_distance(const std::string& a, const std::string& b);

// The known name at the smallest distance, the first of several; empty when none is known.
std::string nearest_name(const std::string& typed, const std::vector<std::string>& known);

}  // namespace tessera
