#!/usr/bin/env bash
# fetchd against a real Kubo: every importer shape, over its gateway and out of its CAR files,
# downloads that are killed, paused and resumed, and the same content by other servers and through
# proxies. Prints a line a case, then `N passed, M failed`.
#
#   FETCHD            the binary to test (default: a debug build of this tree)
#   FETCHD_KUBO       the Kubo to test against (default: what .ci/kubo builds)
#   FETCHD_VERSITYGW  the S3 store to test against (default: `versitygw` in the PATH, if any)
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
if [[ -z ${FETCHD-} ]]; then
  (cd "$root" && cargo build --locked >&2)
  FETCHD=$root/target/debug/fetchd
fi
fetchd=$(realpath "$FETCHD")
ipfs=$(realpath "$("$root/.ci/kubo")")
versitygw=$(realpath "${FETCHD_VERSITYGW:-$(command -v versitygw)}" 2> /dev/null) || versitygw=

# A home of its own, so that nothing of the user's is read or changed.
for name in "${!FETCHD_@}" "${!XDG_@}"; do unset "$name"; done
unset IPFS_GATEWAY
work=$(mktemp -d)
daemon=
stop() {
  if [[ -n $daemon ]]; then
    kill "$daemon" 2> /dev/null || true
    wait "$daemon" || true
  fi
  rm -rf "$work"
}
trap stop EXIT
export HOME=$work/home IPFS_PATH=$work/ipfs NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
mkdir "$HOME" "$work/data" "$work/cars"
# shellcheck source-path=SCRIPTDIR
source "$root/tests/interop/disk.sh"
# shellcheck source-path=SCRIPTDIR
source "$root/tests/interop/names.sh"
# shellcheck source-path=SCRIPTDIR
source "$root/tests/interop/servers.sh"
# shellcheck source-path=SCRIPTDIR
source "$root/tests/interop/trees.sh"
cd "$work"

readonly MIB=$((1 << 20))
# What one kill may cost: what was in flight, and the record of it that was not yet written.
readonly LOSS_PER_KILL=$((20 * MIB))

### Kubo

start_kubo() {
  "$ipfs" init --profile=test > /dev/null
  "$ipfs" config --json Addresses.Swarm '[]'
  "$ipfs" config Routing.Type none
  "$ipfs" config --json Gateway.NoFetch true
  "$ipfs" daemon --offline > "$work/daemon.log" 2>&1 &
  daemon=$!
  for _ in {1..300}; do
    if grep -q '^Daemon is ready' "$work/daemon.log"; then
      gateway=$(cat "$IPFS_PATH/gateway")
      return
    fi
    kill -0 "$daemon" 2> /dev/null || break
    sleep 0.1
  done
  cat "$work/daemon.log" >&2
  echo "Kubo does not start" >&2
  exit 1
}

### Data

# SIZE bytes on stdout, always the same ones for a SEED.
bytes() { # SEED SIZE
  python3 -c '
import random, sys
generator, size = random.Random(sys.argv[1]), int(sys.argv[2])
while size:
    part = min(size, 1 << 20)
    sys.stdout.buffer.write(generator.randbytes(part))
    size -= part' "$1" "$2"
}

sum() { # FILE
  sha256sum "$1" | cut -d' ' -f1
}

# A value of a JSON document on stdin.
field() { # KEY.KEY...
  python3 -c '
import functools, json, sys
keys = sys.argv[1].split(".")
value = functools.reduce(lambda at, key: at[int(key)] if isinstance(at, list) else at[key], keys, json.load(sys.stdin))
print(value)' "$1"
}

### Cases

passed=0
failed=0

# Runs a case in a directory of its own and prints how it went.
check() { # NAME COMMAND...
  local name=$1 status
  shift
  set +e
  (
    set -e
    case=$(mktemp -d "$work/case.XXXXXX")
    cd "$case"
    "$@"
    rm -rf "$case"
  ) > "$work/case.log" 2>&1
  status=$?
  set -e
  if ((status == 0)); then
    echo "ok    $name"
    passed=$((passed + 1))
  else
    echo "FAIL  $name (status $status)"
    sed 's/^/      | /' "$work/case.log"
    failed=$((failed + 1))
  fi
}

# fetchd with the state directory of the case.
run() {
  "$fetchd" --state-dir state --progress none "$@"
}

# The same in the background; its process is `started`.
start() {
  "$fetchd" --state-dir state --progress none "$@" &
  started=$!
}

# What must be so, and else ends the case.
must() { # WHAT GOT WANTED
  [[ $2 == "$3" ]] || { echo "$1: got '$2', wanted '$3'"; exit 1; }
}

# Runs fetchd and demands an exit code.
exits() { # CODE ARGUMENT...
  local wanted=$1 status=0
  shift
  run "$@" || status=$?
  must "exit code of $1" "$status" "$wanted"
}

shown() { # KEY.KEY...
  run --json show 1 | field "download.$1"
}

no_part_left() {
  must "part files" "$(find . -name '*.partial' | wc -l)" 0
}

same() { # OUT FILE
  cmp "$1" "$2"
  no_part_left
}

fetched_from() { # PROVIDER CID FILE
  local path
  path=$(run get "$2" --gateway "$1" -o out)
  must "printed path" "$path" "$(realpath out)"
  same out "$3"
  must status "$(shown status)" success
  must sha256 "$(shown receipt.sha256)" "$(sum "$3")"
}

# Waits until the download that was started has a record of so many proved MiB, and kills it.
kill_beyond() { # MIB
  local verified=0
  while ((verified < $1 * MIB)); do
    kill -0 "$started" || { echo "ended before it could be killed"; exit 1; }
    sleep 0.05
    verified=$(shown bytes_verified 2> /dev/null) || verified=0
  done
  kill -KILL "$started"
  wait "$started" || true
}

# Starts a download that takes long enough to meddle with.
start_slowly() { # CID
  start get "$1" --gateway "$gateway" -o out --limit-rate 20M
  until [[ $(shown status 2> /dev/null) == in_progress ]]; do
    kill -0 "$started" || { echo "ended before it was seen at work"; exit 1; }
    sleep 0.05
  done
}

# Waits for what was started, and demands that it says it was stopped.
was_stopped() {
  local status=0
  wait "$started" || status=$?
  must "exit code of what was stopped" "$status" 81
}

killed_twice() { # CID FILE
  local refetched
  start get "$1" --gateway "$gateway" -o out --limit-rate 60M
  kill_beyond 32
  [[ ! -e out ]] || { echo "a final name before the end"; exit 1; }
  FETCHD_LIMIT_RATE=40M start resume 1
  kill_beyond 128
  run resume 1
  same out "$2"
  must status "$(shown status)" success
  refetched=$(($(shown receipt.bytes_fetched) - $(stat -c %s "$2")))
  echo "fetched again: $refetched bytes"
  ((refetched <= 2 * LOSS_PER_KILL))
}

paused_and_resumed() { # CID FILE
  start_slowly "$1"
  must "listed status" "$(run --json list | field downloads.0.status)" in_progress
  run pause 1
  was_stopped
  must "status after the pause" "$(shown status)" paused
  must "listed id" "$(run --json list | field downloads.0.id)" 1
  exits 0 pause 1
  exits 0 resume 1
  same out "$2"
  must "left in the list" "$(run --json list | field downloads)" "[]"
}

cancelled() { # CID
  start_slowly "$1"
  run cancel 1
  was_stopped
  must status "$(shown status)" cancelled
  exits 2 resume 1
  [[ ! -e out ]]
  no_part_left
}

fetched_again() { # CID FILE
  run get "$1" --gateway "$gateway" -o out
  # Nothing listens there: what is in place needs no request.
  run get "$1" --gateway http://127.0.0.1:9 -o out
  same out "$2"
}

missing() { # CID
  exits 69 get "$1" --gateway "$gateway" -o out
  must status "$(shown status)" failed
  must "kind of the error" "$(shown error.kind)" not_found
  [[ ! -e out ]]
}

# The gateway lacks it, the CAR has it.
second_provider() { # CID CAR FILE
  run get "$1" --gateway "$gateway" --gateway "$2" -o out
  same out "$3"
}

### The run

add() { # FILE OPTION...
  "$ipfs" add -Q "${@:2}" "$1"
}

export_car() { # CID, prints the CAR
  "$ipfs" dag export -p=false "$1" > "cars/$1.car"
  echo "$work/cars/$1.car"
}

start_kubo

sizes=(0 1 $((300 << 10)) $((5 * MIB + 1)))
for size in "${sizes[@]}"; do
  bytes "file $size" "$size" > "data/$size"
done
bytes inline 40 > data/40

shapes=(
  "v0:--cid-version=0"
  "v1 raw leaves:--cid-version=1"
  "v1 1 MiB leaves:--cid-version=1 --chunker=size-1048576"
  "v1 dag-pb leaves:--cid-version=1 --raw-leaves=false"
  "blake3:--hash=blake3"
  "rabin:--cid-version=1 --chunker=rabin"
  "trickle:--cid-version=1 --trickle"
  "v0 trickle:--cid-version=0 --trickle"
  "inline:--cid-version=1 --inline --inline-limit=64"
)
for shape in "${shapes[@]}"; do
  read -ra options <<< "${shape#*:}"
  for file in data/{0,1,40,$((300 << 10)),$((5 * MIB + 1))}; do
    cid=$(add "$file" "${options[@]}")
    car=$(export_car "$cid")
    name="${shape%%:*}, ${file#data/} bytes"
    check "$name, gateway" fetched_from "$gateway" "$cid" "$work/$file"
    check "$name, CAR" fetched_from "$car" "$cid" "$work/$file"
    check "$name, damaged and mended" mended "$gateway" "$cid" "$work/$file"
  done
done

absent=$(bytes absent 1000000 | "$ipfs" add -Q --cid-version=1 --only-hash)
check "a missing CID" missing "$absent"

file=data/$((5 * MIB + 1))
cid=$(add "$file" --cid-version=1)
check "in place already" fetched_again "$cid" "$work/$file"

bytes aside 3000000 > data/aside
aside=$(add data/aside --cid-version=1)
car=$(export_car "$aside")
"$ipfs" pin rm "$aside" > /dev/null
"$ipfs" repo gc -q > /dev/null
check "from the CAR what the gateway lacks" second_provider "$aside" "$car" "$work/data/aside"

bytes large $((256 * MIB)) > data/large
cid=$(add data/large --cid-version=1)
check "killed twice and resumed" killed_twice "$cid" "$work/data/large"
check "paused from another process and resumed" paused_and_resumed "$cid" "$work/data/large"
check "cancelled from another process" cancelled "$cid"

check_trees
check_data

one=$(add data/aside --cid-version=1)
other=$(add data/$((300 << 10)) --cid-version=1)
check_names "$one" "$work/data/aside" "$other" "$work/data/$((300 << 10))"

check_servers

echo "$passed passed, $failed failed"
((failed == 0))
