#!/usr/bin/env python3
"""Compares commands by interleaved runs and prints rows of a Markdown table.

    measure.py [OPTION]... 'NAME | AIM | SHELL COMMAND'...

The first command is the baseline, which all ratios are of. A round runs every command once, each
round beginning with another one; the first round is a warm-up and is not counted. A command finds
a name that does not exist in $OUT, and an empty directory in $STATE; both are removed after it.
In the warm-up what it wrote to $OUT, if anything, must be the bytes of --expect, a file or a
directory.
"""

import argparse
import filecmp
import os
import shutil
import statistics
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
# Linux counts the memory of whoever starts a program as its own until it is replaced, and Python
# is larger than what is measured here; GNU time is small.
TIME = shutil.which("time")
# A round in which others used more than this share of the machine is not quiet: more rounds are run,
NOISE = 0.08
# up to so many times as many as were asked for, and the quietest ones count.
PATIENCE = 2


def busy_seconds():
    """CPU time that processes took on this machine, or that its host took away.

    Interrupts are left out: here they are the loopback's, and no process is charged for them.
    """
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _, _, _, _, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + steal) / TICKS


def process_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def is_same(one, other):
    if os.path.isdir(one) or os.path.isdir(other):
        return subprocess.run(["diff", "-rq", one, other], stdout=subprocess.DEVNULL).returncode == 0
    return filecmp.cmp(one, other, shallow=False)


class Run:
    """One run of one command: what it took, and how much of the machine others took meanwhile."""

    def __init__(self, command, place, servers):
        env = dict(os.environ, OUT=os.path.join(place, "out"), STATE=os.path.join(place, "state"))
        self.out = env["OUT"]
        remove(place)
        os.makedirs(env["STATE"], mode=0o700)
        env["FETCHD_STATE_DIR"] = env["STATE"]
        before = busy_seconds() - sum(map(process_seconds, servers))
        started = time.monotonic()
        with open(os.path.join(place, "log"), "wb") as log:
            peak = os.path.join(place, "peak")
            wrapper = [TIME, "-f", "%M", "-o", peak] if TIME else []
            child = subprocess.Popen([*wrapper, "bash", "-c", command], env=env, stdout=log, stderr=log)
            _, status, usage = os.wait4(child.pid, 0)
        self.wall = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            with open(os.path.join(place, "log"), encoding="utf-8", errors="replace") as log:
                sys.exit(f"{command}\nended with {child.returncode}:\n{log.read()}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss / 1024
        if TIME:
            with open(peak, encoding="ascii") as text:
                self.peak = int(text.read()) / 1024
        others = busy_seconds() - sum(map(process_seconds, servers)) - before - self.cpu
        self.noise = max(0.0, others) / (self.wall * CORES)


def settle(seconds=10):
    """Waits for a quiet machine, but not for ever."""
    for _ in range(seconds * 4):
        before = busy_seconds()
        time.sleep(0.25)
        if (busy_seconds() - before) / (0.25 * CORES) <= NOISE:
            return


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", required=True, help="a directory to make and remove")
    parser.add_argument("--expect", help="what $OUT must equal")
    parser.add_argument("--server", type=int, action="append", default=[], help="a process whose CPU time is no noise")
    parser.add_argument("--flush", action="store_true", help="sync the disk before each run")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def measure(options, commands):
    """The quietest rounds of those that were run, as many as were asked for."""
    order = list(enumerate(commands))
    rounds = []
    for tried in range(options.rounds * PATIENCE + 1):
        shift = tried % len(commands)
        settle()
        runs = [None] * len(commands)
        for index, (name, _, command) in order[shift:] + order[:shift]:
            if options.flush:
                os.sync()
            run = runs[index] = Run(command, options.place, options.server)
            if tried == 0 and options.expect and os.path.exists(run.out):
                if not is_same(run.out, options.expect):
                    sys.exit(f"{name}: wrote wrong bytes")
        remove(options.place)
        noise = statistics.mean(run.noise for run in runs)
        ratios = " ".join(f"{run.wall / runs[0].wall:.2f}" for run in runs[1:])
        what = "warm-up" if tried == 0 else f"round {tried}"
        print(f"   {what}: {runs[0].wall:.2f} s, then {ratios}; others {noise:.0%}", file=sys.stderr)
        if tried > 0:
            rounds.append((noise, tried, runs))
        if sum(noise <= NOISE for noise, _, _ in rounds) == options.rounds:
            break
    quietest = sorted(sorted(rounds)[: options.rounds], key=lambda one: one[1])
    return list(zip(*(runs for _, _, runs in quietest)))


def main():
    options = parse()
    commands = [tuple(part.strip() for part in line.split("|", 2)) for line in options.command]
    runs = measure(options, commands)
    base = runs[0]
    base_wall = statistics.median(run.wall for run in base)
    for (name, aim, _), mine in zip(commands, runs):
        wall = statistics.median(run.wall for run in mine)
        each = [run.wall / other.wall for run, other in zip(mine, base)]
        spread = f"{min(each):.2f}–{max(each):.2f}" if mine is not base else "–"
        cpu = statistics.median(run.cpu for run in mine)
        peak = max(run.peak for run in mine)
        noise = statistics.median(run.noise for run in mine)
        print(
            f"| {name} | {wall:.3f} | {wall / base_wall:.2f} | {spread} | {aim or '–'} "
            f"| {cpu:.2f} | {peak:.0f} | {noise:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
