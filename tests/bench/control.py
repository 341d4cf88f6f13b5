#!/usr/bin/env python3
"""How soon a download obeys `pause`, `cancel` and `checkpoint` from another terminal, in every status.

    control.py [MIB] [ROUNDS]     a file of so many MiB (1024), so many rounds of each (7)

Prints a Markdown table: how long the command took from its start to its end, in milliseconds; it
returns when the owner has let go of the download, checkpoint and all (of `checkpoint`: when that is
made). Exit code 2 says that the download ended first. FETCHD is the binary (default:
target/release/fetchd), TMPDIR where all of it lies: 4 times MIB. Slow disks are made with strace, if
it is there.
"""

import hashlib
import http.server
import json
import os
import pathlib
import random
import shutil
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FETCHD = os.path.abspath(os.environ.get("FETCHD", ROOT / "target/release/fetchd"))
# Where a disk is slow, each of the calls in question takes so long.
HELD = "1s"


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


class Handler(http.server.BaseHTTPRequestHandler):
    """`/file` as fast as it can, `/busy` asks to come back in ten minutes."""

    protocol_version = "HTTP/1.1"
    content = None

    def do_GET(self):
        if self.path != "/file":
            self.send_response(429)
            self.send_header("Retry-After", "600")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = self.content.stat().st_size
        begin, end = 0, size
        span = self.headers.get("Range")
        if span:
            first, last = span.removeprefix("bytes=").split("-")
            begin, end = int(first), int(last or size - 1) + 1
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(end - begin))
        self.send_header("ETag", '"a"')
        if span:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
        self.end_headers()
        try:
            with open(self.content, "rb") as file:
                at = begin
                while at < end:
                    at += os.sendfile(self.connection.fileno(), file.fileno(), at, end - at)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


class Place:
    """A home of its own."""

    def __init__(self, work):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=work))
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "FETCHD_STATE_DIR": str(self.dir / "state"),
                    "FETCHD_GATEWAYS": "", "FETCHD_DISCOVERY": "off"}

    def start(self, *args, wrapper=()):
        return subprocess.Popen([*wrapper, FETCHD, "--json", *args], cwd=self.dir, env=self.env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def run(self, *args):
        done = subprocess.run([FETCHD, "--json", *args], cwd=self.dir, env=self.env, text=True, capture_output=True)
        return done.returncode, done.stdout

    def status(self):
        code, text = self.run("show", "1")
        return json.loads(text)["download"]["status"] if code == 0 else None

    def timed(self, *args):
        begun = time.monotonic()
        code, _ = self.run(*args)
        return code, (time.monotonic() - begun) * 1000


def until(owner, wanted):
    """Reads events up to one that is wanted."""
    for line in owner.stdout:
        event = json.loads(line)
        if wanted(event):
            return event
    raise SystemExit(f"it ended before it was where it should be: {owner.wait()}")


def may_trace():
    """Whether strace is here and may trace."""
    probe = ["strace", "-qq", "-e", "trace=none", "true"]
    return bool(shutil.which("strace")) and subprocess.run(probe, capture_output=True).returncode == 0


def drain(owner):
    threading.Thread(target=lambda: [None for _ in owner.stdout], daemon=True).start()


class Bench:
    def __init__(self, work, mib):
        self.work = pathlib.Path(work)
        self.size = mib << 20
        self.file = self.work / "content"
        piece = random.Random(1).randbytes(1 << 20)
        with open(self.file, "wb") as out:
            for number in range(mib):
                out.write(number.to_bytes(8, "big") + piece[8:])
        self.sha512 = hashlib.file_digest(open(self.file, "rb"), "sha512").hexdigest()
        self.sha256 = hashlib.file_digest(open(self.file, "rb"), "sha256").hexdigest()
        self.car = self.work / "content.car"
        code, text = Place(work).run("cid", str(self.file), "--car", str(self.car))
        assert code == 0, text
        self.cid = json.loads(text)["cids"][0]["cid"]
        Handler.content = self.file
        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def get(self, place, *more, **how):
        return place.start("get", self.cid, "--gateway", str(self.car), "-o", "out", *more, **how)

    # Each of these gives an owner that is in the status, and how long it will be there, in seconds.

    def pending(self, place):
        place.run("get", "--queue", self.cid, "--gateway", str(self.car), "-o", "out")
        return None, 0

    def in_progress(self, place):
        owner = place.start("get", self.url + "/file", "--sha256", self.sha256, "-o", "out")
        until(owner, lambda event: event["type"] == "progress" and event["bytes"] > 0)
        return owner, 0.1

    def in_progress_with_leaves(self, place):
        owner = self.get(place, "--mirror", self.url + "/file")
        until(owner, lambda event: event["type"] == "progress" and event["bytes"] > 0)
        return owner, 0.1

    def taking_up(self, place):
        """All of the part is hashed again."""
        owner = self.get(place)
        until(owner, lambda event: event["type"] == "verifying")
        owner.kill()
        owner.wait()
        for part in place.dir.glob("*.partial"):
            os.utime(part, (0, 0))
        if not list(place.dir.glob("*.partial")):
            raise SystemExit("too late to kill it")
        return place.start("resume", "1"), 0.2

    def in_place(self, place):
        """The target is there already, and not recorded."""
        shutil.copyfile(self.file, place.dir / "out")
        return place.start("get", self.url + "/file", "--sha256", self.sha256, "-o", "out"), 0.1

    def verifying(self, place):
        owner = self.get(place, "--checksum", f"sha512:{self.sha512}")
        until(owner, lambda event: event["type"] == "verifying")
        return owner, 0.3

    def saving(self, place):
        owner = self.get(place, "--car")
        until(owner, lambda event: event["type"] == "verifying")
        return owner, 0.3

    def waiting(self, place):
        owner = place.start("get", self.url + "/busy", "--sha256", self.sha256, "-o", "out")
        until(owner, lambda event: event["type"] == "provider" and event["wait"])
        return owner, 0.2

    def held(self, place, calls, status):
        """In a status in which these calls take their time."""
        slow = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", f"--trace={calls}",
                f"--inject={calls}:delay_enter={HELD}"]
        owner = self.get(place, wrapper=slow)
        while place.status() != status:
            if owner.poll() is not None:
                raise SystemExit(f"it ended before it was {status}: {owner.returncode}")
        return owner, 0.3

    def syncing(self, place):
        return self.held(place, "fsync,fdatasync", "verifying")

    def installing(self, place):
        return self.held(place, "rename,renameat,renameat2", "installing")

    STATUSES = {
        "pending (queued)": pending,
        "in progress": in_progress,
        "in progress, leaf proof": in_progress_with_leaves,
        "in progress, waiting for a gateway": waiting,
        "resuming, hashing the part": taking_up,
        "resuming, hashing what stands at the target": in_place,
        "verifying, another digest": verifying,
        "verifying, writing the CAR": saving,
    }
    SLOW = {
        f"verifying, each sync takes {HELD}": syncing,
        f"installing, the rename takes {HELD}": installing,
    }

    def measure(self, name, make, command, rounds):
        took, codes, is_slow = [], [], name in self.SLOW
        for _ in range(rounds):
            place = Place(self.work)
            owner, stays = make(self, place)
            if owner:
                drain(owner)
            time.sleep(random.uniform(0, stays))
            code, millis = place.timed(command, "1")
            codes.append(code)
            # 2: it had ended, or there is no record yet. Where a disk is slow, that is an answer too.
            if code == 0 or is_slow:
                took.append(millis)
            if owner:
                owner.kill()
                owner.wait()
            shutil.rmtree(place.dir)
        median, worst = (f"{of(took):.0f}" if took else "–" for of in (statistics.median, max))
        ended = ", ".join(map(str, sorted(set(codes))))
        print(f"| {name} | `{command}` | {median} | {worst} | {len(took)} | {ended} |", flush=True)
        if len(took) < rounds:
            print(f"{name}, {command}: {rounds - len(took)} too late or refused", file=sys.stderr)


def main():
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    work = tempfile.mkdtemp()
    try:
        bench = Bench(work, mib)
        statuses = Bench.STATUSES | (Bench.SLOW if may_trace() else {})
        if len(statuses) == len(Bench.STATUSES):
            print("slow disks: skipped, since strace is not here or may not trace", file=sys.stderr)
        print("| status | command | median ms | worst ms | rounds | exit codes |\n|---|---|---|---|---|---|", flush=True)
        for name, make in statuses.items():
            for command in ["pause", "cancel", "checkpoint"]:
                bench.measure(name, make, command, rounds)
    finally:
        shutil.rmtree(work)


main()
