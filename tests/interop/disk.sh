# shellcheck shell=bash disable=SC2154
# `verify` and `repair` of what a real Kubo made. Not a program: `kubo.sh` reads it, and calls
# these when its Kubo runs. Uses what is defined there.

# Turns a bit in the middle of a file over.
flip() { # FILE
  python3 -c '
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(0, 2)
    middle = file.tell() // 2
    file.seek(middle)
    byte = file.read(1)[0]
    file.seek(middle)
    file.write(bytes([byte ^ 1]))' "$1"
}

# A file that fetchd fetched, and the very file that Kubo was given.
mended() { # PROVIDER CID FILE
  run get "$2" --gateway "$1" -o out > /dev/null
  exits 0 verify out
  run verify "$3" "$2" --gateway "$1"
  [[ -s out ]] || return 0
  flip out
  exits 65 verify out
  exits 0 repair out --gateway "$1"
  same out "$3"
  exits 0 verify --all
}

tree_mended() { # PROVIDER CID TREE
  local file
  run get "$2" --gateway "$1" -o out > /dev/null
  exits 0 verify out
  run verify "$3" "$2" --gateway "$1"
  file=$(find out -type f -size +0 | sort | sed -n 1p)
  flip "$file"
  file=$(find out -type f | sort | tail -n 1)
  rm "$file"
  find out -type l -delete
  : > out/extra
  exits 65 verify out
  exits 0 repair out --gateway "$1"
  rm out/extra
  diff -r --no-dereference out "$3"
  exits 0 verify --all
}
