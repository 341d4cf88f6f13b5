# shellcheck shell=bash disable=SC2154
# Trees and CARs against a real Kubo. Not a program: `kubo.sh` reads it, and calls `check_trees`
# when its Kubo runs. Uses what is defined there.

# Names that are unusual and legal, links, modes and times, empty things, and the same bytes twice.
make_odd_tree() { # DIRECTORY
  mkdir -p "$1/deep/er/still" "$1/empty" "$1/ leading and trailing "
  bytes tree 700000 > "$1/large"
  cp "$1/large" "$1/deep/the same"
  : > "$1/nothing"
  printf one > "$1/a%20b"
  printf two > "$1/-n"
  printf four > "$1/"'quote"and\back'
  printf five > "$1/ünïcödé-模型"
  printf six > "$1/deep/er/still/.hidden"
  ln -s ../large "$1/deep/link"
  ln -s nowhere "$1/dangling"
  chmod 640 "$1/large"
  chmod 750 "$1/deep"
  touch -d '2001-02-03 04:05:06.123456789 UTC' "$1/large"
  touch -d '1965-04-03 02:01:00 UTC' "$1/nothing"
}

make_wide_tree() { # DIRECTORY
  mkdir -p "$1"
  python3 -c '
import os, sys
for number in range(3000):
    with open(os.path.join(sys.argv[1], f"entry {number}"), "w") as file:
        file.write(f"content {number % 1000}\n")' "$1"
}

tree_fetched() { # PROVIDER CID TREE
  run get "$2" --gateway "$1" -o out > /dev/null
  diff -r --no-dereference out "$3"
  no_part_left
}

# What came is what Kubo makes the same root of.
tree_added_again() { # CID TREE OPTION...
  run get "$1" --gateway "$gateway" -o out > /dev/null
  must "root of what came" "$("$ipfs" add -r -Q -H --only-hash "${@:3}" out)" "$1"
}

preserved() { # CID TREE
  run get "$1" --gateway "$gateway" -o out --preserve > /dev/null
  must "mode of a file" "$(stat -c %a out/large)" 640
  must "mode of a directory" "$(stat -c %a out/deep)" 750
  must "time of a file" "$(stat -c %.9Y out/large)" "$(stat -c %.9Y "$2/large")"
  must "time before 1970" "$(stat -c %Y out/nothing)" "$(stat -c %Y "$2/nothing")"
}

listed_tree() { # CID TREE
  run --json ls "$1" --gateway "$gateway" > listing
  python3 -c '
import json, os, sys
found = sorted(entry["name"] for entry in json.load(open(sys.argv[1]))["entries"])
assert found == sorted(os.listdir(sys.argv[2])), found' listing "$2"
}

# Whoever serves it, the CAR is the one that Kubo writes, and Kubo reads it.
car_saved() { # PROVIDER CID KUBO_CAR
  run get --car "$2" --gateway "$1" -o out.car > /dev/null
  cmp out.car "$3"
  no_part_left
}

car_handed_on() { # CID KUBO_CAR
  run get "$1" --gateway "$gateway" -o out > /dev/null
  run export 1 -o out.car
  cmp out.car "$2"
  must "root that Kubo reads" "$("$ipfs" dag import out.car | awk '/^Pinned root/ { print $3 }')" "$1"
  "$fetchd" --state-dir other --progress none import out.car -o again > /dev/null
  diff -r --no-dereference out again
}

check_trees() {
  local shape name tree cid car
  make_odd_tree "$work/data/odd"
  make_wide_tree "$work/data/wide"
  "$ipfs" config --json Import.UnixFSHAMTDirectorySizeThreshold '"64KiB"'
  local shapes=(
    "odd v0:odd:--cid-version=0"
    "odd v1:odd:--cid-version=1"
    "odd with modes and times:odd:--cid-version=1 --preserve-mode --preserve-mtime"
    "odd inline:odd:--cid-version=1 --inline"
    "sharded:wide:--cid-version=1"
  )
  for shape in "${shapes[@]}"; do
    IFS=: read -r name tree options <<< "$shape"
    read -ra options <<< "$options"
    cid=$("$ipfs" add -r -Q -H "${options[@]}" "data/$tree")
    car=$(export_car "$cid")
    tree=$work/data/$tree
    check "tree, $name, gateway" tree_fetched "$gateway" "$cid" "$tree"
    check "tree, $name, CAR" tree_fetched "$car" "$cid" "$tree"
    check "tree, $name, damaged and mended" tree_mended "$gateway" "$cid" "$tree"
    check "tree, $name, listed" listed_tree "$cid" "$tree"
    check "tree, $name, saved as a CAR" car_saved "$gateway" "$cid" "$car"
    check "tree, $name, handed on" car_handed_on "$cid" "$car"
    if [[ $name == *modes* ]]; then
      check "tree, $name, preserved" preserved "$cid" "$tree"
    else
      check "tree, $name, added again" tree_added_again "$cid" "$tree" "${options[@]}"
    fi
  done
}

# Data that links to files, to a directory and to further data: the CAR is that of Kubo.
check_data() {
  local file tree leaf list json car cid
  file=$("$ipfs" add -Q --cid-version=1 --chunker=size-1000 "data/$((300 << 10))")
  tree=$("$ipfs" add -r -Q -H --cid-version=1 data/odd)
  leaf=$(echo '{"nothing": {"/": {"bytes": "AAEC"}}}' | "$ipfs" dag put)
  list=$(echo "[{\"/\": \"$file\"}, {\"/\": \"$leaf\"}, {\"/\": \"$tree\"}]" | "$ipfs" dag put)
  json=$(echo "{\"z\": {\"/\": \"$list\"}, \"aa\": {\"/\": \"$leaf\"}}" | "$ipfs" dag put --store-codec dag-json)
  cid=$(echo "{\"long key\": {\"/\": \"$json\"}, \"k\": [{\"/\": \"$list\"}, {\"/\": \"$leaf\"}]}" | "$ipfs" dag put)
  for cid in "$cid" "$json" "$leaf"; do
    car=$(export_car "$cid")
    check "data, saved as a CAR" car_saved "$gateway" "$cid" "$car"
    check "data, saved as a CAR out of a CAR" car_saved "$car" "$cid" "$car"
  done
}
