#!/usr/bin/env bash
# Everything that only a GPU can tell, with programs that are already built: every op case and gradient, the whole networks, the
# sanitizer, the benchmarks. Appends a dated table to docs/gpu.md. `./run gpu` builds first and calls this.
#
#   tests/cuda/on_gpu.sh BUILD_FOLDER [GOLDENS_FOLDER]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${1:?usage: on_gpu.sh BUILD_FOLDER [GOLDENS_FOLDER]}
goldens=${2:-../shared/goldens}
log=$build/gpu
mkdir -p "$log"
failed=0

command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null || { echo "on_gpu: there is no GPU here (nvidia-smi)" >&2; exit 1; }

# step NAME COMMAND...: runs it into a log of its own; the last lines are shown when it fails.
step() {
  local name=$1 start=$SECONDS
  shift
  if "$@" >"$log/$name.log" 2>&1; then
    printf '%-28s ok      %4d s   %s\n' "$name" $((SECONDS - start)) "$(tail -1 "$log/$name.log")"
  else
    printf '%-28s FAILED  %4d s   %s\n' "$name" $((SECONDS - start)) "$log/$name.log"
    grep -v '^ok' "$log/$name.log" | tail -30
    failed=$((failed + 1))
  fi
}

step info "$build/tessera" info
step op_cases "$build/tessera_ops" test -d cuda
step op_gradients "$build/tessera_ops" grad -d cuda
step training "$build/tessera_tests" -tc='device:*'
step graphs "$build/tessera_tests" -tc='graph:*,replay:*'
if [[ -d $goldens ]]; then
  step goldens_ops "$build/tessera_goldens" --device cuda "$goldens/ops"
  for golden in "$goldens"/sparseinst_r50*.safetensors; do
    step "goldens_$(basename "$golden" .safetensors)" "$build/tessera_goldens" --device cuda "$golden"
  done
fi
if command -v compute-sanitizer >/dev/null; then
  step memcheck compute-sanitizer --tool memcheck --error-exitcode 9 "$build/tessera_ops" test -d cuda
  step racecheck compute-sanitizer --tool racecheck --error-exitcode 9 "$build/tessera_ops" test -d cuda
else
  echo "on_gpu: no compute-sanitizer on the PATH: memcheck and racecheck were left out"
fi
if [[ -x $build/tessera_bench ]]; then
  bench=("$build/tessera_bench" --device cuda ${PYTHON:+--python "$PYTHON"})
  step bench "${bench[@]}" --json "$log/bench.json"
  for precision in high medium; do  # whole models, with and without replay
    step "bench_$precision" "${bench[@]}" -f sparseinst --precision $precision --json "$log/bench_$precision.json"
    step "fallbacks_$precision" sh -c '! grep ^fallbacks: "$1"' sh "$log/bench_$precision.log"
  done
fi

{
  printf '\n## %s\n\n' "$(date -u +%Y-%m-%d)"
  printf '%s, driver %s, toolkit %s. ' "$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)" \
    "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -1)" "$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
  printf 'Checks: %s.\n\n' "$(for file in "$log"/*cases.log "$log"/*gradients.log "$log"/goldens*.log; do
    [[ -f $file ]] && printf '%s %s; ' "$(basename "$file" .log)" "$(tail -1 "$file")"; done)"
  for file in "$log"/bench*.log; do
    [[ -f $file ]] && printf '`%s`\n\n```\n%s\n```\n\n' "$(basename "$file" .log)" "$(cat "$file")"
  done
} >>docs/gpu.md
echo "on_gpu: $failed steps failed; docs/gpu.md has the table"
[[ $failed -eq 0 ]]
