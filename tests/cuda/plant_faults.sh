#!/usr/bin/env bash
# Does the suite notice a broken kernel? Plants one fault at a time (a barrier deleted, a bound moved, a stride changed), builds, runs the
# operator's cases on the emulated device in three thread orders, and watched for races, and takes the fault out again. Exit 0: every
# fault was noticed.
#
#   tests/cuda/plant_faults.sh [PRESET]      (release; asan notices accesses out of bounds as well)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
preset=${1:-release}

mapfile -t faults < <(grep -v '^#' tests/cuda/faults.txt)

missed=0
for fault in "${faults[@]}"; do
  IFS='|' read -r op file expression what <<<"$fault"
  git diff --quiet -- "$file" || { echo "plant_faults: $file has changes that are not committed" >&2; exit 2; }
  trap 'git checkout -q -- "$file"' EXIT
  sed -i "$expression" "$file"
  changed=$(git diff --numstat -- "$file" | cut -f2)
  [[ ${changed:-0} -eq 1 ]] || { echo "plant_faults: '$expression' changes ${changed:-0} lines of $file, not one" >&2; exit 2; }
  cmake --build --preset "$preset" --target tessera_ops >/dev/null || { echo "plant_faults: $what: does not compile" >&2; exit 2; }
  noticed=no
  for order in forward reverse shuffled:1; do
    for mode in test grad; do
      TESSERA_EMULATED_ORDER=$order "build/$preset/tessera_ops" "$mode" -d cuda-emulated -o "$op" >/dev/null 2>&1 || noticed=yes
    done
  done
  if [[ $noticed == no ]]; then
    cmake --build --preset release --target tessera_races >/dev/null
    for mode in test grad; do
      build/release/tessera_races "$mode" -d cuda-emulated -o "$op" >/dev/null 2>&1 || noticed=yes
    done
  fi
  git checkout -q -- "$file"
  trap - EXIT
  printf '%-8s %s: %s\n' "$([[ $noticed == yes ]] && echo noticed || echo MISSED)" "$file" "$what"
  [[ $noticed == yes ]] || missed=$((missed + 1))
done
cmake --build --preset "$preset" --target tessera_ops >/dev/null
echo "${#faults[@]} faults, $missed missed"
[[ $missed -eq 0 ]]
