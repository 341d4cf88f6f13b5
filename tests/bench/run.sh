#!/usr/bin/env bash
# Measures fetchd against curl, Kubo and lassie on this machine and prints Markdown tables.
# What is measured and how: README.md beside this file.
#
#   run.sh              all sections
#   run.sh SECTION...   some of them: memory disk car whole kubo small local there kill resume many
#
#   FETCHD         the binary to measure (default: a release build of this tree)
#   FETCHD_KUBO    the Kubo to measure against (default: what .ci/kubo builds)
#   LASSIE         a lassie to compare with (default: none)
#   BENCH_MIB      size of the file (default: 1024)
#   BENCH_FILES    small files in one directory (default: 10000)
#   BENCH_RECORDS  records in the state (default: 100000)
#   BENCH_ROUNDS   rounds that count (default: 5)
#   BENCH_DISK     a directory on a disk (default: target/bench), for 7 times the file's size
#   BENCH_MEMORY   a directory on a memory file system (default: /dev/shm)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
sections=(memory disk car whole kubo small local there kill resume many)
(($# == 0)) || sections=("$@")
for tool in nginx curl python3 openssl; do
  PATH=$PATH:/usr/sbin command -v "$tool" > /dev/null || { echo "needs $tool" >&2; exit 1; }
done
if [[ -z ${FETCHD-} ]]; then
  (cd "$root" && cargo build --release --locked >&2)
  FETCHD=$root/target/release/fetchd
fi
fetchd=$(realpath "$FETCHD")
ipfs=$(realpath "$("$root/.ci/kubo")")
lassie=${LASSIE:+$(realpath "$LASSIE")}
rounds=${BENCH_ROUNDS:-5}
size=$((${BENCH_MIB:-1024} << 20))
files=${BENCH_FILES:-10000}
records=${BENCH_RECORDS:-100000}

# A home of its own, so that nothing of the user's is read or changed.
for name in "${!FETCHD_@}" "${!XDG_@}"; do unset "$name"; done
unset IPFS_GATEWAY http_proxy HTTP_PROXY all_proxy ALL_PROXY
mkdir -p "${BENCH_DISK:=$root/target/bench}"
disk=$(mktemp -d "$BENCH_DISK/run.XXXXXX")
memory=$(mktemp -d "${BENCH_MEMORY:-/dev/shm}/fetchd-bench.XXXXXX")
servers=()
stop() {
  local server
  for server in "${servers[@]}"; do
    kill "$server" 2> /dev/null || true
    wait "$server" || true
  done
  rm -rf "$disk" "$memory"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export HOME=$disk/home IPFS_PATH=$disk/ipfs NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
export FETCHD_CONFIG=$disk/empty.toml
mkdir "$HOME"
: > "$FETCHD_CONFIG"

say() {
  echo "-- $*" >&2
}

### Content

make_file() {
  # Counter-mode AES of zeros: as good as random, the same everywhere, and fast.
  openssl enc -aes-128-ctr -K 66657463686462656e6368206f6e6521 -iv 0 -nosalt -in /dev/zero 2> /dev/null \
    | head -c "$size" > "$disk/file" || true
  [[ $(stat -c %s "$disk/file") == "$size" ]]
}

# Puts what hangs off a CID where nginx finds it: the file, its interior blocks, its CAR.
publish() { # CID
  local block
  ln -s "$disk/file" "$disk/www/plain/ipfs/$1"
  { echo "$1"; "$ipfs" refs "$1"; } > "$disk/links"
  # The root, and of its children those that have children.
  while read -r block; do
    if [[ $block == "$1" || -n $("$ipfs" refs "$block" 2> /dev/null | head -n 1) ]]; then
      "$ipfs" block get "$block" > "$disk/www/raw/ipfs/$block"
    fi
  done < "$disk/links"
}

make_content() {
  say "making $((size >> 20)) MiB and adding it to Kubo three times"
  make_file
  mkdir -p "$disk"/www/{plain,raw,car}/ipfs
  ln -s "$disk/file" "$disk/www/plain/file"
  "$ipfs" init --profile=test,flatfs > /dev/null 2>&1 || "$ipfs" init --profile=test > /dev/null
  "$ipfs" config --json Addresses.Swarm '[]'
  "$ipfs" config Routing.Type none
  "$ipfs" config --json Gateway.NoFetch true
  # Ten thousand short names stay one block, twelve thousand long ones do not.
  "$ipfs" config --json Import.UnixFSHAMTDirectorySizeThreshold '"1MiB"'
  "$ipfs" config Addresses.Gateway /ip4/127.0.0.1/tcp/0
  "$ipfs" config Addresses.API /ip4/127.0.0.1/tcp/0
  "$ipfs" daemon --offline > "$disk/daemon.log" 2>&1 &
  kubo=$!
  servers+=("$kubo")
  for _ in {1..300}; do
    ! grep -q '^Daemon is ready' "$disk/daemon.log" || break
    kill -0 "$kubo" 2> /dev/null || { cat "$disk/daemon.log" >&2; exit 1; }
    sleep 0.1
  done
  gateway=$(cat "$IPFS_PATH/gateway")
  raw=$("$ipfs" add -Q --cid-version=1 --chunker=size-262144 "$disk/file")
  big=$("$ipfs" add -Q --cid-version=1 --chunker=size-1048576 "$disk/file")
  old=$("$ipfs" add -Q --cid-version=0 --chunker=size-262144 "$disk/file")
  for cid in "$raw" "$big" "$old"; do publish "$cid"; done
  "$ipfs" dag export -p=false "$raw" > "$disk/www/car/ipfs/$raw"
}

declare -A trees=()
make_small() {
  local name
  ((${#trees[@]} == 0)) || return 0
  say "making directories of small files and adding them to Kubo"
  python3 "$here/small.py" "$disk/small" "$files"
  for name in flat sharded nested tiny; do
    trees[$name]=$("$ipfs" add -rQ --cid-version=1 "$disk/small/$name")
  done
}

### nginx: one port as a gateway of blocks and plain bytes, one that knows whole CARs only

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_nginx() {
  local gateway_port plain_port car_port counted_port
  gateway_port=$(free_port)
  plain_port=$(free_port)
  car_port=$(free_port)
  counted_port=$(free_port)
  plain=http://127.0.0.1:$gateway_port
  unproved=http://127.0.0.1:$plain_port
  whole_car=http://127.0.0.1:$car_port
  counted=http://127.0.0.1:$counted_port
  cat > "$disk/nginx.conf" << CONF
daemon off;
master_process off;
worker_processes 1;
pid $disk/nginx.pid;
error_log $disk/error.log;
events { worker_connections 64; }
http {
  log_format bytes '\$status \$body_bytes_sent "\$request"';
  log_format times '\$status \$body_bytes_sent \$msec \$request_time';
  access_log off;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  client_body_temp_path $disk/tmp; proxy_temp_path $disk/tmp; fastcgi_temp_path $disk/tmp;
  uwsgi_temp_path $disk/tmp; scgi_temp_path $disk/tmp;
  map \$arg_format \$form { default /none; "" /plain; raw /raw; }
  map \$arg_format \$car { default /none; car /car; }
  server {
    listen 127.0.0.1:$gateway_port;
    root $disk/www;
    access_log $disk/access.log bytes;
    location /ipfs/ { rewrite ^ \$form\$uri last; }
    location /plain/ { internal; }
    location /raw/ { internal; default_type application/vnd.ipld.raw; }
    location /none/ { return 406; }
  }
  server {
    listen 127.0.0.1:$plain_port;
    root $disk/www/plain;
  }
  server {
    listen 127.0.0.1:$car_port;
    root $disk/www;
    location /ipfs/ { rewrite ^ \$car\$uri last; }
    location /car/ { internal; default_type application/vnd.ipld.car; max_ranges 0; }
    location /none/ { return 406; }
  }
  server {
    listen 127.0.0.1:$counted_port;
    access_log $disk/counted.log times;
    location / { proxy_pass $gateway; proxy_http_version 1.1; proxy_buffering off; }
  }
}
CONF
  PATH=$PATH:/usr/sbin nginx -e "$disk/error.log" -c "$disk/nginx.conf" &
  nginx=$!
  servers+=("$nginx")
  for _ in {1..100}; do
    ! curl -so /dev/null "$plain/" || return 0
    kill -0 "$nginx" 2> /dev/null || break
    sleep 0.05
  done
  cat "$disk/error.log" >&2
  exit 1
}

### Comparisons

table() { # TITLE
  printf '\n**%s**\n\n' "$1"
  echo "| what | wall s | ÷ first | of each round | aim | CPU s | peak MiB | others |"
  echo "|---|---|---|---|---|---|---|---|"
}

compare_with() { # EXPECTED PLACE OPTION... COMMAND...
  python3 "$here/measure.py" --rounds "$rounds" --place "$2/case" --expect "$1" \
    --server "$nginx" --server "$kubo" "${@:3}"
}

compare() { # PLACE OPTION... COMMAND...
  compare_with "$disk/file" "$@"
}

get() { # CID GATEWAY, prints the command
  echo "exec '$fetchd' --progress none get $1 --gateway $2 -o \$OUT"
}

# The command that has aria2c fetch a URL over sixteen connections; nothing where there is no aria2c.
aria2() { # NAME URL OPTION...
  ! command -v aria2c > /dev/null \
    || echo "$1 | | exec aria2c -q -x16 -s16 --file-allocation=none ${*:3} -d / -o \$OUT $2"
}

leaves_only="FETCHD_FILE_SHA256=false; export FETCHD_FILE_SHA256;"

section_memory() {
  local more
  mapfile -t more < <(aria2 "\`aria2c -x16\`" "$plain/ipfs/$raw")
  table "nginx → new file in memory"
  compare "$memory" \
    "\`curl -o\` | | exec curl -sfo \$OUT $plain/ipfs/$raw" \
    "fetchd, 256 KiB raw leaves | ≤ 1.0 | $(get "$raw" "$plain")" \
    "same, leaf proof only | ≤ 0.8 | $leaves_only $(get "$raw" "$plain")" \
    "fetchd, 1 MiB raw leaves | ≤ 1.0 | $(get "$big" "$plain")" \
    "same, leaf proof only | ≤ 0.8 | $leaves_only $(get "$big" "$plain")" \
    "fetchd, v0, 256 KiB dag-pb leaves | ≤ 1.0 | $(get "$old" "$plain")" \
    "${more[@]}"
}

section_disk() {
  table "nginx → new file on disk, durable"
  compare "$disk" --flush \
    "\`curl -o && sync FILE\` | | curl -sfo \$OUT $plain/ipfs/$raw && sync \$OUT" \
    "fetchd, 256 KiB raw leaves | ≤ 0.9 | $(get "$raw" "$plain")" \
    "same, leaf proof only | ≤ 0.75 | $leaves_only $(get "$raw" "$plain")" \
    "same, no checkpoint but the last | | $leaves_only FETCHD_CHECKPOINT_BYTES=1TiB FETCHD_CHECKPOINT_INTERVAL=1h $(get "$raw" "$plain")"
}

section_car() {
  table "nginx that has whole CARs only → new file in memory"
  compare "$memory" \
    "\`curl -o\` of the file | | exec curl -sfo \$OUT $plain/ipfs/$raw" \
    "fetchd, both hashes | | $(get "$raw" "$whole_car")" \
    "fetchd, leaf proof only | ≤ 0.9 | $leaves_only $(get "$raw" "$whole_car")"
}

# A server that has plain bytes and nothing else: proved at the end, by the CID or by a checksum.
section_whole() {
  local sum more
  sum=$(sha256sum "$disk/file" | cut -d' ' -f1)
  mapfile -t more < <(aria2 "\`aria2c -x16 --checksum\`" "$unproved/ipfs/$raw" "--checksum=sha-256=$sum")
  table "nginx that has plain bytes only → new file in memory"
  compare "$memory" \
    "\`curl -o && sha256sum\` | | curl -sfo \$OUT $unproved/ipfs/$raw && sha256sum \$OUT" \
    "fetchd, URL with \`--sha256\` | ≤ 0.5 | exec '$fetchd' --progress none get $unproved/file --sha256 $sum -o \$OUT" \
    "fetchd, CID by importer profile | ≤ 1.0 | $(get "$raw" "$unproved")" \
    "${more[@]}"
}

section_kubo() {
  local more=()
  if [[ -n $lassie ]]; then
    more=("\`lassie fetch\` to a CAR | fetchd ≤ 0.3 of it | exec '$lassie' fetch --tempdir \$STATE --providers $gateway --protocols http --dag-scope entity -o \$STATE/out.car $raw")
  fi
  table "Kubo's gateway → new file in memory"
  compare "$memory" \
    "\`curl -o\` | | exec curl -sfo \$OUT $gateway/ipfs/$raw" \
    "fetchd, both hashes | ≤ 1.4 | $(get "$raw" "$gateway")" \
    "fetchd, leaf proof only | | $leaves_only $(get "$raw" "$gateway")" \
    "\`curl -o && sha256sum\` | fetchd ≤ 0.5 of it | curl -sfo \$OUT $gateway/ipfs/$raw && sha256sum \$OUT" \
    "\`ipfs get\` | fetchd ≤ 0.5 of it | exec '$ipfs' get --progress=false -o \$OUT $raw" \
    "${more[@]}"
}

requests() { # STATE, prints how many requests the only download there took
  "$fetchd" --state-dir "$1" --json show 1 | python3 -c 'import json, sys
print(sum(provider["requests"] for provider in json.load(sys.stdin)["download"]["providers"]))'
}

# Directories of small files, from Kubo's gateway, against Kubo's own client.
section_small() {
  local name place=$memory/small
  declare -A titles=(
    [flat]="$files files of 1 to 100 KB in one directory"
    [sharded]="$((files * 6 / 5)) files of 1 to 40 KB in a sharded directory"
    [nested]="$((files / 2)) files of 0.5 to 60 KB in a tree of directories"
    [tiny]="$((files * 10)) files of 20 to 200 bytes, a thousand in each directory"
  )
  make_small
  for name in flat sharded nested tiny; do
    rm -rf "$place"
    mkdir "$place"
    "$fetchd" --state-dir "$place" --progress none get "${trees[$name]}" --gateway "$gateway" -o "$place/out" > /dev/null
    table "${titles[$name]}, Kubo's gateway → memory ($(requests "$place") requests)"
    compare_with "$disk/small/$name" "$memory" \
      "\`ipfs get\` | | exec '$ipfs' get --progress=false -o \$OUT ${trees[$name]}" \
      "fetchd | ≤ 1.0, 64 MiB | $(get "${trees[$name]}" "$gateway")" \
      "\`curl -o\` of the CAR, nothing proved or unpacked | | exec curl -sfo /dev/null '$gateway/ipfs/${trees[$name]}?format=car'"
  done
  rm -rf "$place"
  "$ipfs" dag export -p=false "${trees[tiny]}" > "$disk/tiny.car"
  table "${titles[tiny]}, out of a CAR → memory"
  compare_with "$disk/small/tiny" "$memory" \
    "\`cp -r\` of the tree | | exec cp -r '$disk/small/tiny' \$OUT" \
    "\`fetchd import\` | 64 MiB | exec '$fetchd' --progress none import '$disk/tiny.car' -o \$OUT"
  rm "$disk/tiny.car"
}

cid() { # PROFILE..., prints the command for the file that is there
  printf "exec '%s' cid '%s'%s" "$fetchd" "$memory/local/out" "$(printf -- ' --profile %s' "$@")"
}

# What is on disk is hashed, and nobody asked.
section_local() {
  local place=$memory/local profiles
  # The message about a name that is none names them all.
  read -ra profiles < <("$fetchd" cid --profile none "$disk/file" 2>&1 | sed -n 's/.*there are the profiles //p' | tr -d ,)
  mkdir -p "$place"
  "$fetchd" --state-dir "$place/state" --progress none get "$raw" --gateway "$plain" -o "$place/out" > /dev/null
  table "The file in memory, proved and named"
  compare "$memory" \
    "\`sha256sum\` | | exec sha256sum '$place/out'" \
    "\`fetchd verify\` | ≤ 1.1 | exec '$fetchd' --state-dir '$place/state' --progress none verify '$place/out'" \
    "\`fetchd cid\`, one profile | ≤ 1.1 | $(cid "${profiles[0]}")" \
    "\`fetchd cid\`, the usual three | ≤ 1.1 | $(cid "${profiles[@]::3}")" \
    "\`fetchd cid\`, all ${#profiles[@]} | ≤ 2.0 | $(cid "${profiles[@]}")"
  rm -rf "$place"
}

# The second `get` of the same path needs no request.
section_there() {
  table "\`get\` of what is there"
  local place=$memory/there
  mkdir -p "$place"
  "$fetchd" --state-dir "$place/state" --progress none get "$raw" --gateway "$plain" -o "$place/out" > /dev/null
  compare "$memory" \
    "\`true\` | | exec true" \
    "\`curl --version\` | | exec curl --version" \
    "fetchd, in place already | ≤ 10 ms | exec '$fetchd' --state-dir '$place/state' --progress none get $raw --gateway http://127.0.0.1:9 -o '$place/out'" \
    "\`fetchd list --all\` | | exec '$fetchd' --state-dir '$place/state' list --all"
  rm -rf "$place"
}

sent() { # LOG, prints the bytes that nginx sent, and how many requests it answered
  awk '{ bytes += $2 } END { printf "%d %d\n", bytes, NR }' "$1"
}

mebi() { # BYTES
  awk -v bytes="$1" 'BEGIN { printf "%.1f", bytes / 1048576 }'
}

# In the background the command is the process that a signal finds.
run_or_exec() { # COMMAND...
  if [[ $BASHPID == "$$" ]]; then
    "$@" > /dev/null
  else
    exec "$@" > /dev/null
  fi
}

kill_after() { # SECONDS, of what was last put into the background
  sleep "$1"
  kill -KILL $! 2> /dev/null || echo "it ended before it could be killed" >&2
  wait $! 2> /dev/null || true
}

# Three SIGKILLs, each after a fifth of the time that the whole download takes, then to the end.
# nginx counts what it gave to the kernel: what lay in socket buffers at the kill is in it.
killed_three_times() { # LABEL OPTION...
  local place=$memory/kill bytes requests took begun
  begin_counting "$place"
  begun=${EPOCHREALTIME/./}
  one "${@:2}"
  took=$((${EPOCHREALTIME/./} - begun))
  sleep 0.3
  read -r bytes requests < <(sent "$disk/access.log")
  echo "| $1, undisturbed | $requests | $(mebi $((bytes - size))) | – |"
  begin_counting "$place"
  for _ in {1..3}; do
    one "${@:2}" &
    kill_after "$(awk -v took="$took" 'BEGIN { printf "%.3f", took / 5e6 }')"
  done
  one "${@:2}"
  cmp "$place/out" "$disk/file"
  sleep 0.3
  read -r bytes requests < <(sent "$disk/access.log")
  echo "| $1, three SIGKILLs | $requests | $(mebi $((bytes - size))) | $(mebi $(((bytes - size) / 3))) |"
  rm -rf "$place"
}

begin_counting() { # PLACE
  rm -rf "$1"
  mkdir "$1"
  sleep 0.3
  : > "$disk/access.log"
}

# The same command each time: the same source and path again is a resume.
one() { # OPTION...
  run_or_exec "$fetchd" --state-dir "$memory/kill/state" --progress none get "$raw" --gateway "$plain" -o "$memory/kill/out" "$@"
}

section_kill() {
  printf '\n**Fetched again after SIGKILL, as nginx counts what it sent (aim: ≤ 8 MiB a kill)**\n\n'
  echo "| what | requests | MiB beyond the file | a kill |"
  echo "|---|---|---|---|"
  killed_three_times "full speed"
  killed_three_times "100 MiB/s" --limit-rate 100M
}

# A directory of small files, killed half-way; Kubo's bytes are counted by an nginx in between.
section_resume() {
  local place=$memory/resume name begun took whole bytes requests
  make_small
  printf '\n**Small files after a SIGKILL half-way, as nginx counts what it sent (aim: ≤ 10 %% again)**\n\n'
  echo "| what | requests | MiB sent | again | s to the first request of the resume |"
  echo "|---|---|---|---|---|"
  for name in flat sharded nested; do
    begun=${EPOCHREALTIME/./}
    fresh_tree "$place" "$name"
    took=$((${EPOCHREALTIME/./} - begun))
    sleep 0.3
    read -r whole requests < <(sent "$disk/counted.log")
    echo "| $name, undisturbed | $requests | $(mebi "$whole") | – | – |"
    fresh_tree "$place" "$name" &
    kill_after "$(awk -v took="$took" 'BEGIN { printf "%.3f", took / 2e6 }')"
    begun=$EPOCHREALTIME
    tree_to "$place" "$name"
    diff -rq "$place/out" "$disk/small/$name" >&2
    sleep 0.3
    read -r bytes requests < <(sent "$disk/counted.log")
    echo "| $name, SIGKILL half-way | $requests | $(mebi "$bytes") | $(awk -v whole="$whole" -v bytes="$bytes" 'BEGIN { printf "%.1f %%", 100 * (bytes - whole) / whole }') | $(awk -v begun="$begun" '$3 - $4 >= begun - 0.001 && (!first || $3 - $4 < first) { first = $3 - $4 } END { printf "%.2f", first - begun }' "$disk/counted.log") |"
  done
  rm -rf "$place"
}

fresh_tree() { # PLACE NAME
  rm -rf "$1"
  mkdir "$1"
  : > "$disk/counted.log"
  tree_to "$@"
}

tree_to() { # PLACE NAME
  run_or_exec "$fetchd" --state-dir "$1/state" --progress none get "${trees[$2]}" --gateway "$counted" -o "$1/out"
}

# What must not grow with the number of records.
section_many() {
  printf '\n**Very many records**\n\n'
  python3 "$here/many.py" --records "$records" --files "$files" --place "$memory" "$fetchd"
}

### The run

for section in "${sections[@]}"; do
  [[ $(type -t "section_$section") == function ]] || { echo "no section '$section'" >&2; exit 2; }
done
make_content
start_nginx
sync
echo "$("$fetchd" --version), $("$ipfs" version), $(curl --version | head -n 1 | cut -d' ' -f1,2), $(nproc) CPUs, $((size >> 20)) MiB, $rounds rounds, $(date -u +%F)"
for section in "${sections[@]}"; do
  say "$section"
  "section_$section"
done
