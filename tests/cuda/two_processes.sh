#!/usr/bin/env bash
# Two processes with a device each train as one does: the losses of 20 steps of the tiny SparseInst are within 1e-4. On GPUs the sums are
# NCCL's. Prints the throughput of both.
#
#   tests/cuda/two_processes.sh FOLDER [DEVICE]     FOLDER: of the programs; DEVICE: cuda, or cuda-emulated to rehearse
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(realpath "${1:?usage: two_processes.sh FOLDER [DEVICE]}")
device=${2:-cuda}
tessera=$folder/tessera
[[ $device == cuda-emulated && -x $folder/tessera_emulated ]] && tessera=$folder/tessera_emulated
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$tessera" data shapes --out "$work/shapes" --train 64 --val 4 --size 64 >/dev/null
options=(--device "$device" --set "data.train_annotations=$work/shapes/instances_train.json" --set "data.train_images=$work/shapes/train"
  --set data.val_annotations= --set input.shortest=64 --set input.longest=64 --set 'augment.shortest=[48, 64]' --set augment.longest=64
  --set training.steps=20 --set training.batch_size=8)
train() { "$@" "$tessera" train configs/sparseinst/sparseinst_tiny.toml "${options[@]}" --out "$work/$ranks" >"$work/$ranks.txt" 2>&1 || {
  cat "$work/$ranks.txt" >&2
  exit 1
}; }
ranks=1 && train env
ranks=2 && train mpirun --allow-run-as-root --oversubscribe -np 2
losses() { sed -n 's/.*"step":\([0-9]*\),"loss":\([^,]*\),.*"images_per_s":\([^,]*\),.*/\1 \2 \3/p' "$work/$1/log.jsonl"; }
paste <(losses 1) <(losses 2) | awk '
  { d = ($2 - $5) / $2; if (d < 0) d = -d; if (d > most) most = d; one = $3; two = $6 }
  END {
    printf "%d steps, losses differ by %.1e at most; %.1f pictures/s with one, %.1f with two\n", NR, most, one, two
    exit !(NR == 20 && most < 1e-4)
  }'
