#!/usr/bin/env python3
"""Measures what must not grow with the number of records, and prints a Markdown table.

    many.py [--records N] [--files N] [--place DIRECTORY] FETCHD

    enqueue   one `get --queue`, with an empty state and with N records in it
    list      `list --limit 50` over N records, in two orders
    drain     `run` over N entries: the time of each among the first tenth and among the last
    there     `get` of what is in place, over N records
    sync      of a manifest of unchanged files that the ledger knows

Needs nginx, which answers each request out of its memory. Times are medians of eleven runs of the
whole command, but for the drain, which runs once.
"""

import argparse
import hashlib
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 11


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """nginx; what it answers is the path that was asked for."""

    def __init__(self, place):
        self.port = free_port()
        config = os.path.join(place, "nginx.conf")
        temporary = " ".join(
            f"{kind}_temp_path {place}/tmp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        with open(config, "w", encoding="utf-8") as out:
            out.write(
                f"daemon off; master_process off; pid {place}/nginx.pid; error_log {place}/error.log;\n"
                "events { worker_connections 512; }\n"
                f"http {{ access_log off; {temporary} keepalive_requests 1000000;\n"
                f"  server {{ listen 127.0.0.1:{self.port}; location / {{ return 200 $uri; }} }} }}\n"
            )
        env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin")
        self.process = subprocess.Popen(["nginx", "-e", f"{place}/error.log", "-c", config], env=env)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        sys.exit("nginx does not start")

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Case:
    """A state directory and a directory for files."""

    def __init__(self, fetchd, place, name, state=None):
        self.fetchd, self.dir = fetchd, os.path.join(place, name)
        os.makedirs(self.dir)
        self.state = state or os.path.join(place, name + ".state")

    def command(self, *args):
        return [self.fetchd, "--state-dir", self.state, "--progress", "none", *args]

    def run(self, *args):
        subprocess.run(self.command(*args), cwd=self.dir, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def median(self, *args):
        """Milliseconds of the whole command, and of its CPU time: that holds on a busy machine too."""
        times = []
        for number in range(ROUNDS + 1):
            started, before = time.monotonic(), children_seconds()
            self.run(*(arg.format(number) for arg in args))
            times.append((time.monotonic() - started, children_seconds() - before))
        wall, cpu = (statistics.median(column) * 1000 for column in zip(*times[1:]))
        return f"{wall:.1f} ms, {cpu:.1f} ms CPU"


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def digest(path):
    return hashlib.sha256(path.encode()).hexdigest()


def enqueue_many(case, server, count):
    names = [f"/n{number:06}" for number in range(count)]
    with open(f"{case.dir}/sums", "w", encoding="ascii") as sums, open(f"{case.dir}/list", "w", encoding="ascii") as urls:
        for name in names:
            sums.write(f"{digest(name)}  {name[1:]}\n")
            urls.write(server.url(name) + "\n")
    started = time.monotonic()
    case.run("get", "--queue", "-i", "list", "--sha256sums", "sums", "-d", "files")
    return time.monotonic() - started


def drain(case, count):
    """Milliseconds for each entry, of each tenth."""
    child = subprocess.Popen(case.command("--json", "run"), cwd=case.dir, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    ends = [time.monotonic()]
    for line in child.stdout:
        if b'"type":"finished"' in line:
            ends.append(time.monotonic())
    if child.wait() != 0 or len(ends) != count + 1:
        sys.exit(f"run ended with {child.returncode} after {len(ends) - 1} of {count} entries")
    tenth = count // 10
    return [(ends[at + tenth] - ends[at]) * 1000 / tenth for at in range(0, tenth * 10, tenth)]


def manifest(case, server, count):
    with open(f"{case.dir}/fetchd.toml", "w", encoding="ascii") as out:
        for number in range(count):
            name = f"/s{number:06}"
            target = f"d{number // 100:03}/f{number:06}"
            out.write(f'[[file]]\nsource = "{server.url(name)}"\ntarget = "{target}"\nsha256 = "{digest(name)}"\n')
            path = f"{case.dir}/{target}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write(name)


def row(what, value, aim="–"):
    print(f"| {what} | {value} | {aim} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--place", default="/dev/shm")
    parser.add_argument("fetchd")
    options = parser.parse_args()
    fetchd = os.path.abspath(options.fetchd)
    place = tempfile.mkdtemp(prefix="fetchd-many-", dir=options.place)
    server = Server(place)
    try:
        measure(fetchd, place, server, options)
    finally:
        server.stop()
        shutil.rmtree(place)


def measure(fetchd, place, server, options):
    count = options.records
    print("| what | measured | aim |\n|---|---|---|")
    one = ("get", "--queue", server.url("/one{}"), "--sha256", digest("/one"), "-d", "files")
    row("an enqueue, empty state", Case(fetchd, place, "empty").median(*one), "≤ 10 ms")
    case = Case(fetchd, place, "many")
    row(f"{count} entries enqueued by one command", f"{enqueue_many(case, server, count):.1f} s")
    row(f"an enqueue, {count} entries", case.median(*one), "≤ 10 ms")
    for number in range(ROUNDS + 1):
        case.run("cancel", f"files/one{number}")
    tenths = drain(case, count)
    row(f"`run` over {count} entries", f"{tenths[0]:.2f} ms for each of the first tenth, {tenths[-1]:.2f} ms of the last", "the same")
    row(f"`list --all --limit 50`, {count} records", case.median("list", "--all", "--limit", "50"), "≤ 20 ms")
    row("the same, `--sort size`", case.median("list", "--all", "--limit", "50", "--sort", "size"), "≤ 20 ms")
    there = ("get", server.url("/n000007"), "--sha256", digest("/n000007"), "-d", "files")
    row(f"`get` of what is there, {count} records", case.median(*there), "≤ 10 ms")
    synced = Case(fetchd, place, "sync")
    manifest(synced, server, options.files)
    synced.run("sync")
    row(f"`sync` of {options.files} unchanged files", synced.median("sync"), "≤ 300 ms")
    synced = Case(fetchd, place, "among", state=case.state)
    manifest(synced, server, options.files)
    synced.run("sync")
    row(f"the same, {count} other records", synced.median("sync"), "≤ 300 ms")


if __name__ == "__main__":
    main()
