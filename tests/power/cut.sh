#!/usr/bin/env bash
# Power cuts: a download onto a file system on a loop device, whose image is copied again and again
# in mid-flight, without a sync. Each copy is a disk as the power left it: it is mounted, and the
# download goes on from there. Prints a Markdown table; README.md beside this file says how to read
# it. Ends with 1 if any byte is wrong, any download is stuck, or what was told to be safe is not.
#
#   cut.sh                 every file system that can be made here
#   cut.sh NAME...         some of them: ext4 writeback xfs btrfs
#
#   FETCHD        the binary to test (default: a debug build of this tree)
#   FETCHD_KUBO   the Kubo that cuts the file into blocks (default: what .ci/kubo builds)
#   POWER_MIB     size of the file (default: 256)
#   POWER_RATE    MiB a second that the gateway gives (default: 32)
#   POWER_CUTS    cuts for each file system (default: 8), and one more right after the end
#   POWER_SEED    draws the same moments again
#
# Needs root, loop devices, Python, and xfs or btrfs to hold the images: a copy of a file there is
# made in one moment. Without them it says so and ends with 0. Needs 4 times the file's size in
# TMPDIR.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
names=(ext4 writeback xfs btrfs)
(($# == 0)) || names=("$@")
mib=${POWER_MIB:-256} rate=${POWER_RATE:-32} cuts=${POWER_CUTS:-8} seed=${POWER_SEED:-$RANDOM}
size=$((mib << 20))
# What a run may ask for beyond what no checkpoint vouched for: leaves that one cut through, and
# the blocks above them.
readonly SLACK=$((2 << 20))
PATH=$PATH:/usr/sbin:/sbin

skip() {
  echo "skipped: $*"
  exit 0
}

work=$(mktemp -d)
gateway_pid="" fetchd_pid=""
# Ends a process of ours, if it is there.
end() { # PID
  [[ -z $1 ]] || { kill "$1" 2> /dev/null || true; wait "$1" 2> /dev/null || true; }
}

stop() {
  local mounted
  end "$fetchd_pid"
  end "$gateway_pid"
  for mounted in disk holder; do
    if mountpoint -q "$work/$mounted"; then umount "$work/$mounted" || umount -l "$work/$mounted"; fi
  done
  rm -rf --one-file-system "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

### Disks

# Makes a file system in a file. Images of one file system are never mounted side by side, which
# neither xfs nor btrfs would bear.
make() { # KIND IMAGE MIB
  truncate -s "$3M" "$2"
  case $1 in
    ext4 | writeback) mkfs.ext4 -q -F "$2" ;;
    xfs) mkfs.xfs -q "$2" ;;
    btrfs) mkfs.btrfs -q "$2" > /dev/null ;;
    *) echo "no such file system: $1" >&2; exit 2 ;;
  esac
}

# Whatever is not synced stays in memory for as long as the file system allows.
attach() { # KIND IMAGE PLACE
  case $1 in
    ext4) mount -o loop,commit=600 "$2" "$3" ;;
    writeback) mount -o loop,commit=600,data=writeback "$2" "$3" ;;
    xfs) mount -o loop "$2" "$3" ;;
    btrfs) mount -o loop,commit=300 "$2" "$3" ;;
  esac
}

can_make() { # KIND
  local tool=$1
  [[ $tool != writeback ]] || tool=ext4
  command -v "mkfs.$tool" > /dev/null
}

hold() {
  local kind
  mkdir "$work/holder" "$work/disk"
  for kind in btrfs xfs; do
    can_make "$kind" || continue
    rm -f "$work/holder.img"
    make "$kind" "$work/holder.img" $((16 * mib + 8192)) 2> /dev/null || continue
    attach "$kind" "$work/holder.img" "$work/holder" 2> /dev/null && return
  done
  skip "no xfs or btrfs can be mounted on a loop device here"
}

[[ $(id -u) == 0 ]] || skip "only root may mount file systems"
command -v python3 > /dev/null || skip "needs Python"
hold

### What is fetched, and from where

if [[ -z ${FETCHD-} ]]; then
  (cd "$root" && cargo build --locked >&2)
  FETCHD=$root/target/debug/fetchd
fi
fetchd=$(realpath "$FETCHD")
ipfs=$(realpath "$("$root/.ci/kubo")")
# A home of its own, so that nothing of the user's is read or changed.
for name in "${!FETCHD_@}" "${!XDG_@}"; do unset "$name"; done
unset IPFS_GATEWAY http_proxy HTTP_PROXY all_proxy ALL_PROXY
export HOME=$work/home IPFS_PATH=$work/ipfs NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
mkdir "$HOME" "$work/blocks"

content() {
  local block
  head -c "$size" /dev/urandom > "$work/file"
  "$ipfs" init --profile=test > /dev/null
  cid=$("$ipfs" add -Q --cid-version=1 --chunker=size-262144 "$work/file")
  for block in "$cid" $("$ipfs" refs -r "$cid"); do
    # Raw leaves (bafk…) are ranges of the file; what is above them is not.
    [[ $block == bafk* ]] || "$ipfs" block get "$block" > "$work/blocks/$block"
  done
  rm -rf "$IPFS_PATH"
}

gateway_start() {
  local line
  coproc gateway { exec python3 "$root/tests/bench/gateways.py" --file "$work/file" --blocks "$work/blocks" --cid "$cid" $((rate << 10)); }
  # shellcheck disable=SC2154 # coproc sets it
  gateway_pid=$gateway_PID
  read -r -u "${gateway[0]}" line
  [[ $line =~ (http:[^\"]*) ]]
  url=${BASH_REMATCH[1]}
}

# Bytes that the gateway has sent since it began.
sent() {
  local line
  echo >&"${gateway[1]}"
  read -r -u "${gateway[0]}" line
  [[ $line =~ \"sent\":\ ([0-9]+) ]]
  echo "${BASH_REMATCH[1]}"
}

run() { # COMMAND ARGUMENT...
  "$fetchd" --json --progress none --state-dir "$work/disk/state" "$@" --gateway "$url"
}

### Cuts

# Bytes that the last checkpoint told of vouches for.
told() {
  local line
  line=$(grep -a '"type":"checkpoint"' "$work/events" | tail -n 1) || { echo 0; return; }
  [[ $line =~ \"bytes\":([0-9]+) ]]
  echo "${BASH_REMATCH[1]}"
}

# One cut: what was told before, the disk, what was sent up to then.
cut() { # NUMBER
  told > "$work/told.$1"
  cp --reflink=always "$work/holder/disk.img" "$work/holder/cut.$1"
  sent > "$work/sent.$1"
}

# Fetches it, and cuts at random moments of the time that this takes.
fetch_and_cut() {
  local number moment began
  began=${EPOCHREALTIME/./}
  run get "$cid" -o "$work/disk/file" > "$work/events" 2> "$work/story" &
  fetchd_pid=$!
  number=0
  while read -r moment; do
    while ((${EPOCHREALTIME/./} - began < moment)); do read -r -t 0.01 <> <(:) || true; done
    kill -0 "$fetchd_pid" 2> /dev/null || break
    cut $((++number))
  done < <(python3 -c '
import random, sys
seed, count, end = map(int, sys.argv[1:])
draw = random.Random(seed)
print(*sorted(draw.randrange(end) for _ in range(count)), sep="\n")' "$seed" "$cuts" $((mib * 1000000 / rate)))
  wait "$fetchd_pid" || { cat "$work/story" >&2; echo "the download fails" >&2; exit 1; }
  fetchd_pid=
  # It is told to be finished: nothing of it may be lost.
  cut $((++number))
  echo "$size" > "$work/told.$number"
  made=$number
}

# Goes on from one cut.
revive() { # KIND NUMBER
  local before after again beyond log=$work/log
  attach "$1" "$work/holder/cut.$2" "$work/disk"
  if [[ -e $work/disk/file ]] && ! cmp -s "$work/file" "$work/disk/file"; then
    wrong=$((wrong + 1))
    echo "$1, cut $2: wrong bytes under the final name" >&2
  fi
  before=$(sent)
  # A record that the cut took away altogether is begun anew.
  if { run resume --all && { [[ -e $work/disk/file ]] || run get "$cid" -o "$work/disk/file"; }; } > "$log" 2>&1; then
    cmp -s "$work/file" "$work/disk/file" || { wrong=$((wrong + 1)); echo "$1, cut $2: wrong bytes" >&2; }
  else
    stuck=$((stuck + 1))
    { echo "$1, cut $2: stuck"; cat "$log"; ls -la "$work/disk"; } >&2
  fi
  after=$(sent)
  again=$(($(< "$work/sent.$2") + after - before - size))
  beyond=$(($(< "$work/told.$2") + after - before - size))
  ((again <= most_again)) || most_again=$again
  ((beyond <= most_beyond)) || most_beyond=$beyond
  left=$((left + $(find "$work/disk" -maxdepth 1 -name '*.partial' | wc -l)))
  umount "$work/disk"
  rm "$work/holder/cut.$2"
  [[ -z ${POWER_VERBOSE-} ]] || echo "$1, cut $2: $(< "$work/told.$2") told, $(< "$work/sent.$2") sent, $((after - before)) after" >&2
}

mebibytes() { # BYTES
  printf '%d.%d' $(($1 >> 20)) $((($1 & 0xfffff) * 10 >> 20))
}

torment() { # KIND
  local number made
  wrong=0 stuck=0 left=0 most_again=0 most_beyond=0
  make "$1" "$work/holder/disk.img" $((2 * mib + 512))
  attach "$1" "$work/holder/disk.img" "$work/disk"
  gateway_start
  fetch_and_cut
  umount "$work/disk"
  rm "$work/holder/disk.img"
  for ((number = 1; number <= made; number++)); do revive "$1" "$number"; done
  end "$gateway_pid"
  gateway_pid=
  echo "| $1 | $made | $wrong | $stuck | $left | $(mebibytes "$most_again") | $(mebibytes "$most_beyond") |"
  ((wrong == 0 && stuck == 0 && most_beyond <= SLACK)) || failed=1
}

content
failed=0
echo "POWER_SEED=$seed" >&2
echo "| file system | cuts | wrong bytes | dead ends | parts left over | most MiB fetched again | most MiB of them that a checkpoint had told of |"
echo "|---|---|---|---|---|---|---|"
for name in "${names[@]}"; do
  can_make "$name" || { echo "skipped: no mkfs for $name" >&2; continue; }
  torment "$name"
done
((failed == 0))
