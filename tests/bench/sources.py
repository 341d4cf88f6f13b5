#!/usr/bin/env python3
"""Measures fetchd with many slow gateways, and over a long way, and prints Markdown tables.

    sources.py            both
    sources.py rates      gateways with a limited rate: share of the sum of their rates
    sources.py way        one HTTP/2 gateway behind a round trip of 80 ms, against curl

    FETCHD        the binary to measure (default: target/release/fetchd of this tree)
    FETCHD_KUBO   the Kubo that cuts the file into blocks (default: what .ci/kubo builds)
    BENCH_MIB     size of the file in MiB (default: 256)
    BENCH_ROUNDS  rounds that count (default: 3)
"""

import contextlib
import filecmp
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIZE = int(os.environ.get("BENCH_MIB", "256")) << 20
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
# KiB a second; the sum is what a downloader can reach at best.
RATES = {
    "four alike": [8192] * 4,
    "uneven, 8:4:2:1": [16384, 8192, 4096, 2048],
    "one fast, three nearly dead": [24576, 64, 64, 64],
    "sixteen alike": [2048] * 16,
}


def output(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


class Content:
    """A file that no one can compress, its CID, and its interior blocks as files."""

    def __init__(self, place):
        self.file = place / "file"
        with open(self.file, "wb") as file:
            key = ["-K", "66657463686462656e6368206f6e6521", "-iv", "0", "-nosalt", "-in", "/dev/zero"]
            cipher = subprocess.Popen(["openssl", "enc", "-aes-128-ctr", *key], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            while (left := SIZE - file.tell()) > 0:
                file.write(cipher.stdout.read(min(left, 1 << 20)))
            cipher.kill()
            cipher.wait()
        ipfs = output(ROOT / ".ci" / "kubo")
        env = dict(os.environ, IPFS_PATH=str(place / "ipfs"))
        output(ipfs, "init", "--profile=test", env=env, stderr=subprocess.DEVNULL)
        self.cid = output(ipfs, "add", "-Q", "--cid-version=1", "--chunker=size-262144", self.file, env=env)
        self.blocks = place / "blocks"
        self.blocks.mkdir()
        for cid in [self.cid, *output(ipfs, "refs", "-r", self.cid, env=env).split()]:
            # Raw leaves (bafk…) are ranges of the file; what is above them is not.
            if not cid.startswith("bafk"):
                block = subprocess.run([ipfs, "block", "get", cid], env=env, check=True, stdout=subprocess.PIPE).stdout
                (self.blocks / cid).write_bytes(block)


class Ended:
    """What GNU time and fetchd's receipt say of one download."""

    def __init__(self, content, place, gateways, **env):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        target = place / "out"
        fetchd = os.environ.get("FETCHD", ROOT / "target" / "release" / "fetchd")
        named = [argument for url in gateways for argument in ("--gateway", url)]
        command = [shutil.which("time") or "/usr/bin/time", "-f", "%M", "-o", place / "peak"]
        command += [fetchd, "--json", "--progress", "none", "--state-dir", place / "state", "get", content.cid, "-o", target, *named]
        started = time.monotonic()
        events = output(*command, env=dict(os.environ, **env))
        self.wall = time.monotonic() - started
        self.receipt = next(event for event in map(json.loads, events.splitlines()) if event["type"] == "finished")
        self.peak = int((place / "peak").read_text()) / 1024
        if not filecmp.cmp(target, content.file, shallow=False):
            sys.exit("wrong bytes")
        target.unlink()


def rates(content, place):
    print("\n**Gateways with a limited rate → new file on disk**\n")
    print("| gateways | sum MiB/s | reached | ÷ sum (aim: ≥ 0.95) | sent beyond the file (≤ 5 %) | requests | peak MiB |")
    print("|---|---|---|---|---|---|---|")
    for name, each in RATES.items():
        runs = []
        for _ in range(ROUNDS):
            command = [HERE / "gateways.py", "--file", content.file, "--blocks", content.blocks, "--cid", content.cid]
            server = subprocess.Popen([*command, *map(str, each)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            ended = Ended(content, place / "case", json.loads(server.stdout.readline()))
            server.stdin.close()
            asked = json.loads(server.stdout.readline())
            server.wait()
            again = sum(one["sent"] for one in asked) / SIZE - 1
            runs.append((ended.wall, again, sum(one["requests"] for one in asked), ended.peak))
        total = sum(each) / 1024
        wall = statistics.median(run[0] for run in runs)
        reached = SIZE / wall / (1 << 20)
        print(
            f"| {name} | {total:.1f} | {reached:.1f} | {reached / total:.2f} | {max(run[1] for run in runs):.1%} "
            f"| {max(run[2] for run in runs)} | {max(run[3] for run in runs):.0f} |",
            flush=True,
        )


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def nginx(content, place):
    """One HTTP/2 gateway with TLS; its certificate is its own authority."""
    port = free_port()
    key, certificate = place / "key.pem", place / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    output("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject, stderr=subprocess.DEVNULL)
    www = place / "www"
    (www / "plain" / "ipfs").mkdir(parents=True)
    (www / "plain" / "ipfs" / content.cid).symlink_to(content.file)
    (www / "raw").mkdir()
    (www / "raw" / "ipfs").symlink_to(content.blocks)
    temporary = "".join(f"{kind}_temp_path {place}/tmp; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (place / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {place}/nginx.pid; error_log {place}/error.log;
events {{}}
http {{
  access_log off; default_type application/octet-stream; {temporary}
  map $arg_format $form {{ default /none; "" /plain; raw /raw; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    root {www};
    location /ipfs/ {{ rewrite ^ $form$uri last; }}
    location /raw/ {{ default_type application/vnd.ipld.raw; }}
    location /none/ {{ return 406; }}
  }}
}}
""")
    search = os.environ["PATH"] + ":/usr/sbin"
    server = subprocess.Popen([shutil.which("nginx", path=search), "-e", place / "error.log", "-c", place / "nginx.conf"])
    delay = subprocess.Popen([sys.executable, HERE / "delay.py", "40", f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True)
    try:
        yield f"https://localhost:{delay.stdout.readline().strip()}", certificate
    finally:
        for child in (delay, server):
            child.send_signal(signal.SIGKILL)
            child.wait()


def way(content, place):
    print("\n**One HTTP/2 gateway behind a round trip of 80 ms → new file on disk**\n")
    print("| what | s | speed ÷ curl (aim: ≥ 0.8) | requests | peak MiB |")
    print("|---|---|---|---|---|")
    with nginx(content, place) as (gateway, certificate):
        curls, runs = [], []
        for _ in range(ROUNDS):
            target = place / "curl.out"
            said = output("curl", "-sf", "--http2", "--cacert", certificate, "-o", target, "-w", "%{time_total} %{http_version}", f"{gateway}/ipfs/{content.cid}")
            seconds, version = re.fullmatch(r"([\d.]+) (\d)", said).groups()
            if version != "2":
                sys.exit("this curl has no HTTP/2")
            curls.append(float(seconds))
            runs.append(Ended(content, place / "case", [gateway], SSL_CERT_FILE=str(certificate)))
        curl, wall = statistics.median(curls), statistics.median(run.wall for run in runs)
        requests = max(sum(one["requests"] for one in run.receipt["providers"]) for run in runs)
        print(f"| `curl --http2 -o` | {curl:.2f} | 1.00 | 1 | |")
        print(f"| fetchd | {wall:.2f} | {curl / wall:.2f} | {requests} | {max(run.peak for run in runs):.0f} |")


def main():
    sections = {"rates": rates, "way": way}
    chosen = sys.argv[1:] or list(sections)
    for name in chosen:
        if name not in sections:
            sys.exit(f"no section '{name}'")
    for name in [name for name in os.environ if name.startswith(("FETCHD_", "XDG_")) and name != "FETCHD_KUBO"]:
        del os.environ[name]
    place = ROOT / "target" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as place:
        place = Path(place)
        os.environ.update(HOME=str(place), NO_PROXY="127.0.0.1,localhost")
        content = Content(place)
        for name in chosen:
            sections[name](content, place)


if __name__ == "__main__":
    main()
