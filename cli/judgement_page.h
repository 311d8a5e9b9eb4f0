// What a page says of a judgement (cli/judgement.h).
#pragma once

#include "cli/judgement.h"
#include "cli/page.h"

namespace tessera {

// Classes with their AP and curves, the confusion matrix, TIDE's mistakes, and pictures: the worst, the best, and some
// that are spread over the set.
std::vector<PageSection> judgement_sections(const Judgement& judgement);

// The pictures at these positions of judgements[0].set: what is annotated, then what each model found; names: theirs.
// number: of the first one, among the pictures of the page.
std::string pictures_html(std::span<const Judgement> judgements, std::span<const std::string> names,
                          std::span<const i64> pictures, i64 number = 0);

}  // namespace tessera
