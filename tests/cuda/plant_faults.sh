#!/usr/bin/env bash
# Does the suite notice a broken kernel, or a host that drives it wrongly? Plants one fault at a time (a barrier deleted, a bound moved, a
# stride changed), builds, runs the operator's cases on the emulated device in three thread orders and watched for races, or the tests of that
# name, and takes the fault out again. Exit 0: every fault was noticed.
#
#   tests/cuda/plant_faults.sh [PRESET [PATTERN]]      (release; asan notices accesses out of bounds as well; PATTERN: a regular
#                                                       expression that chooses lines of faults.txt)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
preset=${1:-release}

mapfile -t faults < <(grep -v '^#' tests/cuda/faults.txt | grep -e "${2:-}")

# noticed WHO: whether WHO, an operator or tests:PATTERN, fails.
noticed() {
  local program=tessera_ops
  [[ $1 == tests:* ]] && program=tessera_tests
  cmake --build --preset "$preset" --target $program >/dev/null || { echo "plant_faults: $what: does not compile" >&2; exit 2; }
  if [[ $1 == tests:* ]]; then
    ! "build/$preset/tessera_tests" -tc="${1#tests:}" >/dev/null 2>&1
    return
  fi
  for order in forward reverse shuffled:1; do
    for mode in test grad; do
      TESSERA_EMULATED_ORDER=$order "build/$preset/tessera_ops" "$mode" -d cuda-emulated -o "$1" >/dev/null 2>&1 || return 0
    done
  done
  cmake --build --preset release --target tessera_races >/dev/null
  for mode in test grad; do
    build/release/tessera_races "$mode" -d cuda-emulated -o "$1" >/dev/null 2>&1 || return 0
  done
  return 1
}

missed=0
for fault in "${faults[@]}"; do
  IFS='|' read -r who file expression what <<<"$fault"
  git diff --quiet -- "$file" || { echo "plant_faults: $file has changes that are not committed" >&2; exit 2; }
  trap 'git checkout -q -- "$file"' EXIT
  sed -i "$expression" "$file"
  changed=$(git diff --numstat -- "$file" | cut -f2)
  [[ ${changed:-0} -eq 1 ]] || { echo "plant_faults: '$expression' changes ${changed:-0} lines of $file, not one" >&2; exit 2; }
  if noticed "$who"; then
    result=noticed
  else
    result=MISSED missed=$((missed + 1))
  fi
  git checkout -q -- "$file"
  trap - EXIT
  printf '%-8s %s: %s\n' $result "$file" "$what"
done
cmake --build --preset "$preset" --target tessera_ops tessera_tests >/dev/null
echo "${#faults[@]} faults, $missed missed"
[[ $missed -eq 0 ]]
