#!/usr/bin/env python3
"""Makes directories of small files: small.py DIRECTORY COUNT, the same bytes everywhere.

    flat      COUNT files of 1 to 100 KB in one directory
    sharded   1.2 COUNT files of 1 to 40 KB with long names, so that the directory is sharded
    nested    COUNT / 2 files of 0.5 to 60 KB in a tree of directories, 25 in each
    tiny      10 COUNT files of 20 to 200 bytes, a thousand in each directory
"""

import os
import random
import sys

POOL = 1 << 20


def fill(directory, count, least, most, name):
    """Each file begins with its own number, so that no two are the same."""
    os.makedirs(directory)
    for number in range(count):
        size = random.randint(least, most)
        start = random.randint(0, POOL - most)
        with open(os.path.join(directory, name % number), "wb") as out:
            out.write(number.to_bytes(8, "little") + pool[start : start + size - 8])


base, count = sys.argv[1], int(sys.argv[2])
random.seed("fetchd bench")
pool = random.randbytes(POOL)
fill(f"{base}/flat", count, 1_000, 100_000, "f%05d")
fill(f"{base}/sharded", count * 6 // 5, 1_000, 40_000, "n" * 90 + "%05d")
for number in range(max(1, count // 50)):
    fill(f"{base}/nested/{number // 10:03}/{number % 10}/deep", 25, 500, 60_000, "f%05d")
for number in range(max(1, count // 100)):
    fill(f"{base}/tiny/{number:04}", 1_000, 20, 200, "f%05d")
