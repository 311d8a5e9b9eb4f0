#!/usr/bin/env bash
# Everything that only a GPU can tell, with programs that are already built (`./run gpu` builds and calls this, `./run gpu-bundle` packs
# both for a machine that has only a driver). Each step has a time limit and a log of its own, so one that is cut off loses nothing but
# itself, and parts may be run one by one: the table at the end holds all that was run so far.
#
#   tests/cuda/on_gpu.sh FOLDER [PART...]     FOLDER: of the programs; logs, steps.json and table.md go to FOLDER/gpu
#
#   ops         every operator's cases, and gradients
#   goldens     stored reference results of operators and networks, from $GOLDENS (../shared/goldens)
#   networks    training, mixed precision, graphs, branches, memory: the tests that need a device
#   processes   two processes with a GPU each train as one does, with NCCL (two GPUs, mpirun)
#   sanitizer   memcheck and racecheck on kernels with barriers or atomics (compute-sanitizer)
#   bench       whole networks in f32, TF32 and bf16, with and without replay, what the libraries refused, then every kernel;
#               beside PyTorch where $PYTHON names an interpreter that has it
#   profile     the time of each kernel in a training step (nsys, or ncu, which also says what share of the memory's bandwidth it had)
#
# cuBLAS and cuDNN come from the loader's path, the toolkit or pip's nvidia packages. DEVICE=cuda-emulated rehearses without a GPU.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:?usage: on_gpu.sh FOLDER [ops|goldens|networks|processes|sanitizer|bench|profile]...}
shift
parts=${*:-ops goldens networks processes sanitizer bench profile}
device=${DEVICE:-cuda}
goldens=${GOLDENS:-../shared/goldens}
log=$folder/gpu
mkdir -p "$log"
failed=0

for libraries in "$folder/../lib" /usr/local/cuda/lib64 \
  $("${PYTHON:-python3}" -c 'import nvidia; print(nvidia.__path__[0])' 2>/dev/null | sed 's|$|/*/lib|'); do
  [[ -d $libraries ]] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}

gpu=emulated
if [[ $device == cuda ]]; then
  gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1)
  [[ -n $gpu ]] || { echo "on_gpu: there is no GPU here (nvidia-smi)" >&2; exit 1; }
fi

# step SECONDS NAME COMMAND...: runs it into a log of its own and notes how it ended; the last lines are shown when it fails.
step() {
  local limit=$1 name=$2 start=$SECONDS result=ok
  shift 2
  timeout "$limit" "$@" >"$log/$name.log" 2>&1
  case $? in
    0) ;;
    124) result="CUT OFF" ;;
    *) result=FAILED ;;
  esac
  local last
  last=$(tail -1 "$log/$name.log")
  printf '%-30s %-8s %4d s   %s\n' "$name" "$result" $((SECONDS - start)) "$last"
  printf '{"step": "%s", "result": "%s", "seconds": %d, "last": "%s"}\n' "$name" "$result" $((SECONDS - start)) \
    "$(sed 's/[\\"]/\\&/g; s/[[:cntrl:]]//g' <<<"$last")" >>"$log/steps.json"
  [[ $result == ok ]] && return 0
  grep -v '^ok' "$log/$name.log" | tail -30
  failed=$((failed + 1))
  return 1
}

# left_out PART WHY
left_out() {
  echo "on_gpu: $1: left out, $2"
}

for part in $parts; do
  case $part in
    ops)
      step 60 info "$folder/tessera" info
      step 240 op_cases "$folder/tessera_ops" test -d "$device"
      step 240 op_gradients "$folder/tessera_ops" grad -d "$device"
      ;;
    goldens)
      [[ -d $goldens ]] || { left_out goldens "there is no folder $goldens"; continue; }
      step 120 goldens_ops "$folder/tessera_goldens" --device "$device" "$goldens/ops"
      for golden in "$goldens"/{sparseinst,fqdet,effseg,base,e2e,fassst}*.safetensors; do
        [[ -f $golden ]] || continue
        step 60 "goldens_$(basename "$golden" .safetensors)" "$folder/tessera_goldens" --device "$device" "$golden"
        [[ $golden == */sparseinst_r50*_*iam.* ]] || continue
        step 60 "goldens_$(basename "$golden" .safetensors)_bf16" "$folder/tessera_goldens" --device "$device" --bf16 "$golden"
      done
      ;;
    networks)
      step 300 networks "$folder/tessera_tests" -tc='device*,devices*,mixed precision*,bf16:*,tensor cores:*,graph:*,replay:*,branch:*,upload:*'
      ;;
    processes)
      command -v mpirun >/dev/null || { left_out processes "no mpirun on the PATH"; continue; }
      "$folder/tessera" info | grep -q '^processes  one alone' && { left_out processes "a build without MPI"; continue; }
      [[ $device != cuda || $(nvidia-smi -L | wc -l) -ge 2 ]] || { left_out processes "there is one GPU"; continue; }
      step 200 processes tests/cuda/two_processes.sh "$folder" "$device"
      ;;
    sanitizer)
      command -v compute-sanitizer >/dev/null || { left_out sanitizer "no compute-sanitizer on the PATH"; continue; }
      for operator in linear_sum_assignment sort nms group_norm layer_norm softmax sum sps_conv2d roi_align deform_conv2d mask_runs; do
        for tool in memcheck racecheck; do
          step 90 "${tool}_$operator" compute-sanitizer --tool $tool --error-exitcode 9 "$folder/tessera_ops" test -d "$device" -o $operator
        done
      done
      ;;
    bench)
      [[ -x $folder/tessera_bench ]] || { left_out bench "there is no $folder/tessera_bench"; continue; }
      bench=("$folder/tessera_bench" --device "$device" ${PYTHON:+--python "$PYTHON"})
      for precision in highest high medium; do
        step 120 "bench_networks_$precision" "${bench[@]}" -f "models, batch" --precision $precision --json "$log/bench_networks_$precision.json" &&
          step 5 "fallbacks_$precision" sh -c '! grep ^fallbacks: "$1"' sh "$log/bench_networks_$precision.log"
      done
      for options in "" "--no-tune" "--graph" "--dtype bf16" "--dtype bf16 --no-tune" "--dtype bf16 --graph"; do
        name=bench_sparseinst_${options//[^a-z0-9]/}
        # shellcheck disable=SC2086  # options are words
        step 60 "$name" "$folder/tessera" bench --model r50_giam --device "$device" --precision medium $options --json "$log/$name.json"
      done
      while read -r group; do
        name=bench_$(tr -cs '[:alnum:]\n' _ <<<"$group")
        step 90 "$name" "${bench[@]}" -f "$group/" --json "$log/$name.json"
      done < <("$folder/tessera_bench" --list | sed 's|/[^/]*$||' | grep -v '^models, batch' | sort -u)
      ;;
    profile)
      steps=("$folder/tessera_bench" --device "$device" -f "training steps")
      if command -v nsys >/dev/null; then
        step 120 profile nsys profile --stats=true --force-overwrite=true -o "$log/profile" "${steps[@]}"
      elif command -v ncu >/dev/null; then
        step 240 profile ncu --clock-control none --launch-count 4000 --print-summary per-kernel \
          --metrics gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed "${steps[@]}"
      else
        left_out profile "neither nsys nor ncu is on the PATH"
      fi
      ;;
    *)
      echo "on_gpu: there is no part $part" >&2
      exit 2
      ;;
  esac
done

{
  printf '\n## %s\n\n%s. Version %s.\n\n' "$(date -u +%Y-%m-%d)" "$gpu" "$("$folder/tessera" --version | sed -n "1s/tessera //p")"
  printf '| step | | seconds | |\n|---|---|---|---|\n'
  sed -n 's/^{"step": "\(.*\)", "result": "\(.*\)", "seconds": \([0-9]*\), "last": "\(.*\)"}$/| \1 | \2 | \3 | \4 |/p' "$log/steps.json"
  for file in "$log"/bench*.log; do
    [[ -s $file ]] && printf '\n`%s`\n\n```\n%s\n```\n' "$(basename "$file" .log)" "$(cat "$file")"
  done
} >"$log/table.md"
echo "on_gpu: $failed steps failed; $log/table.md has the table, for docs/gpu.md"
[[ $failed -eq 0 ]]
