#!/usr/bin/env bash
# Two "machines", as network namespaces with a link between them, train one model. Cuts the link, fills the first one's disk, and checks that
# every process ends within 30 seconds with a message, that what is on the disk is whole, and that a restart goes on. Needs root, ip, tc and
# mpirun; a minute. The faults of a single machine are tests/cli/processes_test.cpp.
#
#   tests/cli/two_machines.sh [PRESET [RATE]]      (release; 1gbit)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tessera=$PWD/build/${1:-release}/tessera rate=${2:-1gbit}
work=$(mktemp -d)

clean_up() {
  [[ -s $work/pid ]] && kill -- -"$(cat "$work/pid")" 2>/dev/null || true
  umount "$work/disk" 2>/dev/null || true
  for machine in one two; do ip netns del tessera_$machine 2>/dev/null || true; done
  sleep 1
  rm -rf "$work"
}
trap clean_up EXIT
fail() {
  echo "two_machines: $*" >&2
  for log in "$work"/log*; do tail -n 5 "$log" >&2; done
  exit 1
}

ip netns add tessera_one && ip netns add tessera_two
ip link add tess1 netns tessera_one type veth peer name tess2 netns tessera_two
for k in 1 2; do
  machine=tessera_$([[ $k == 1 ]] && echo one || echo two)
  ip -n $machine addr add 10.83.7.$k/24 dev tess$k
  ip -n $machine link set tess$k up
  ip -n $machine link set lo up
  tc -n $machine qdisc add dev tess$k root tbf rate "$rate" burst 256kb latency 400ms
done
cat >"$work/agent" <<'TEXT'  # in the place of ssh
#!/bin/bash
shift
exec ip netns exec tessera_two bash -c "$*"
TEXT
chmod +x "$work/agent"
"$tessera" data shapes --out "$work/shapes" --train 16 --val 2 --size 64 >/dev/null

# train FOLDER LOG [OPTION...]: in the background, in a group of its own.
train() {
  local folder=$1 log=$2
  shift 2
  : >"$work/$log"
  (OMP_NUM_THREADS=1 setsid bash -c 'echo $$ >"$0"; exec "$@"' "$work/pid" \
    ip netns exec tessera_one mpirun --allow-run-as-root -np 2 --host 10.83.7.1:1,10.83.7.2:1 --mca plm_rsh_agent "$work/agent" \
    --mca btl tcp,self --mca btl_tcp_if_include 10.83.7.0/24 --mca oob_tcp_if_include 10.83.7.0/24 -x OMP_NUM_THREADS \
    "$tessera" train configs/sparseinst/sparseinst_tiny.toml --set "data.train_annotations='$work/shapes/instances_train.json'" \
    --set "data.train_images='$work/shapes/train'" --set training.batch_size=4 --set 'augment.shortest=[64]' --set augment.longest=64 \
    --set training.steps=100000 --out "$folder" "$@" >"$work/$log" 2>&1 &)
}
# until_log LOG PATTERN SECONDS: waits for it, and says how long that took.
until_log() {
  local begin=$SECONDS
  until grep -qE "$2" "$work/$1"; do
    ((SECONDS - begin < $3)) || fail "no '$2' in $3 s"
    sleep 0.2
  done
  echo "$((SECONDS - begin)) s: $(grep -oE "$2" "$work/$1" | head -1)"
}
last_step() { basename "$(ls "$1"/checkpoint-*.safetensors | tail -1)" | grep -oE '[0-9]+' | sed 's/^0*//'; }
none_left() {
  for _ in $(seq 150); do
    pgrep -f "^$tessera train" >/dev/null || return 0
    sleep 0.2
  done
  fail "a process is left after 30 s"
}

echo "the link is cut:"
train "$work/run" log1
until_log log1 'loss [0-9.]+ .* img/s' 60 >/dev/null
sleep 3
ip -n tessera_two link set tess2 down
until_log log1 'rank [01] \([^)]*\) has not been heard of for [0-9]+ s' 30
none_left
step=$(last_step "$work/run")
"$tessera" info --checkpoint "$work/run" >/dev/null || fail "the checkpoint cannot be read"
kill -- -"$(cat "$work/pid")" 2>/dev/null || true  # mpirun waits longer for its own daemon
ip -n tessera_two link set tess2 up
sleep 2

echo "restarted:"
train "$work/run" log2 --resume
until_log log2 "resumed from .*checkpoint-0*$step.safetensors" 30
until_log log2 'loss [0-9.]+ .* img/s' 60 >/dev/null
kill -TERM "$(pgrep -f "^$tessera train" | head -1)"
none_left
(($(last_step "$work/run") > step)) || fail "the restart saved nothing after step $step"

echo "the first machine's disk is full:"
mkdir "$work/disk" && mount -t tmpfs -o size=25m tmpfs "$work/disk"
train "$work/disk/run" log3 --set training.checkpoint_every=5
until_log log3 'No space left on device' 60
none_left
for checkpoint in "$work"/disk/run/checkpoint-*.safetensors; do
  "$tessera" info --checkpoint "$checkpoint" >/dev/null || fail "$checkpoint is not whole"
done
echo "all processes ended, every checkpoint is whole"
