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
#   POWER_CUTS    cuts of the first run (default: 8), and one more right after its end; what goes on
#                 from a cut is cut once more
#   POWER_SEED    draws the same moments again
#   POWER_VERBOSE if set: a line for each cut
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

# Takes the place of the shell that it runs in, so that a signal to that one reaches it.
become() { # COMMAND ARGUMENT...
  exec "$fetchd" --json --progress none --state-dir "$work/disk/state" "$@" --gateway "$url"
}

### Cuts

# Bytes that the last checkpoint of this run told of vouches for.
told() {
  local line
  line=$(grep -a '"type":"checkpoint"' "$work/events" | tail -n 1) || { echo 0; return; }
  [[ $line =~ \"bytes\":([0-9]+) ]]
  echo "${BASH_REMATCH[1]}"
}

larger() { # NUMBER NUMBER
  echo $(($1 > $2 ? $1 : $2))
}

# One cut of the disk in use: what was told before, the image, what was sent up to then. The last
# two arguments are what holds from an earlier cut.
cut() { # IMAGE NAME TOLD SENT
  larger "$3" "$(told)" > "$work/told.$2"
  cp --reflink=always "$work/holder/$1" "$work/holder/cut.$2"
  echo $(($(sent) + $4)) > "$work/sent.$2"
  queue+=("$2")
}

# COUNT random moments, in microseconds, in the time that so many bytes take.
moments() { # SALT COUNT BYTES
  python3 -c '
import random, sys
draw, count, end = random.Random(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for moment in sorted(draw.randrange(end) for _ in range(count)):
    print(moment)' "$seed $1" "$2" $(($3 * 1000000 / (rate << 20) + 1))
}

# Runs what fetches the rest, and cuts at random moments of the time that this takes.
cut_while() { # IMAGE NAME COUNT TOLD SENT COMMAND ARGUMENT...
  local image=$1 name=$2 count=$3 told=$4 sent=$5 number=0 moment began code
  shift 5
  began=${EPOCHREALTIME/./}
  : > "$work/events"
  become "$@" > "$work/events" 2> "$work/log" &
  fetchd_pid=$!
  while read -r moment; do
    while ((${EPOCHREALTIME/./} - began < moment)); do sleep 0.01; done
    kill -0 "$fetchd_pid" 2> /dev/null || break
    cut "$image" "$name$((++number))" "$told" "$sent"
  done < <(moments "$name" "$count" $((size - told)))
  code=0
  wait "$fetchd_pid" || code=$?
  fetchd_pid=""
  return "$code"
}

# Goes on from one cut. One of the first run is cut once more meanwhile.
revive() { # KIND NAME
  local image=cut.$2 told sent before after count=0
  told=$(< "$work/told.$2") sent=$(< "$work/sent.$2")
  attach "$1" "$work/holder/$image" "$work/disk"
  if [[ -e $work/disk/file ]] && ! cmp -s "$work/file" "$work/disk/file"; then
    wrong=$((wrong + 1))
    echo "$1, cut $2: wrong bytes under the final name" >&2
  fi
  [[ $2 == *.* ]] || ((told == size)) || count=1
  before=$(sent)
  # A record that the cut took away altogether is begun anew.
  if cut_while "$image" "$2." "$count" "$told" $((sent - before)) resume --all \
    && { [[ -e $work/disk/file ]] || (become get "$cid" -o "$work/disk/file" > "$work/log" 2>&1); }; then
    cmp -s "$work/file" "$work/disk/file" || { wrong=$((wrong + 1)); echo "$1, cut $2: wrong bytes" >&2; }
  else
    stuck=$((stuck + 1))
    { echo "$1, cut $2: stuck"; cat "$work/events" "$work/log"; ls -la "$work/disk"; } >&2
  fi
  after=$(($(sent) - before))
  most_again=$(larger "$most_again" $((sent + after - size)))
  most_beyond=$(larger "$most_beyond" $((told + after - size)))
  left=$((left + $(find "$work/disk" -maxdepth 1 -name '*.partial' | wc -l)))
  umount "$work/disk"
  rm "$work/holder/$image"
  [[ -z ${POWER_VERBOSE-} ]] || echo "$1, cut $2: $told told, $sent sent, $after after" >&2
}

mebibytes() { # BYTES
  printf '%d.%d' $(($1 >> 20)) $((($1 & 0xfffff) * 10 >> 20))
}

torment() { # KIND
  local queue=() next wrong=0 stuck=0 left=0 most_again=0 most_beyond=0
  make "$1" "$work/holder/disk.img" $((2 * mib + 512))
  attach "$1" "$work/holder/disk.img" "$work/disk"
  gateway_start
  if ! cut_while disk.img "" "$cuts" 0 0 get "$cid" -o "$work/disk/file"; then
    cat "$work/log" >&2
    echo "the download fails" >&2
    exit 1
  fi
  # It is told to be finished: nothing of it may be lost.
  cut disk.img end "$size" 0
  umount "$work/disk"
  rm "$work/holder/disk.img"
  for ((next = 0; next < ${#queue[@]}; next++)); do revive "$1" "${queue[next]}"; done
  end "$gateway_pid"
  gateway_pid=""
  echo "| $1 | $next | $wrong | $stuck | $left | $(mebibytes "$most_again") | $(mebibytes "$most_beyond") |"
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
