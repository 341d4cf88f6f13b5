#!/usr/bin/env python3
"""Records the README's terminal session as a picture, from real output.

    .github/session.py target/release/fetchd > .github/session.svg

Needs tmux and a Kubo (FETCHD_KUBO, or .ci/kubo). Kubo makes a file of 60 MB and serves it from this
machine; fetchd is slowed down so that there is something to see, and killed half-way. Every frame is
what tmux shows; nothing is drawn by hand.
"""

import html
import os
import random
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLUMNS, ROWS = 96, 16
CHAR, LINE, MARGIN = 8.43, 19, 14
FRAME = 0.2
REST = 4.0
COLORS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "36": "#79c0ff", "1": "#ffffff"}


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Kubo:
    """A node that serves one file."""

    def __init__(self, binary: str, home: Path):
        self.env = dict(os.environ, IPFS_PATH=str(home / "ipfs"))
        self.binary = binary
        self.port = free_port()
        self.call("init", "--profile=test")
        self.call("config", "Addresses.Gateway", f"/ip4/127.0.0.1/tcp/{self.port}")
        self.call("config", "Addresses.API", f"/ip4/127.0.0.1/tcp/{free_port()}")
        for key, value in [("Addresses.Swarm", "[]"), ("Gateway.NoFetch", "true")]:
            self.call("config", "--json", key, value)
        path = home / "model.bin"
        path.write_bytes(random.Random(7).randbytes(60_000_000))
        self.cid = self.call("add", "--offline", "-Q", "--cid-version=1", str(path)).strip()
        self.daemon = subprocess.Popen(
            [binary, "daemon", "--offline"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.wait()

    def call(self, *arguments: str) -> str:
        return subprocess.run(
            [self.binary, *arguments], env=self.env, check=True, capture_output=True, text=True
        ).stdout

    def wait(self):
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("Kubo does not answer")


class Screen:
    """A shell in tmux, and what it has shown since the recording began."""

    def __init__(self, fetchd: Path, home: Path, gateway: str):
        self.socket = str(home / "tmux")
        self.frames: list[tuple[float, list[str]]] = []
        work = home / "work"
        work.mkdir()
        config = home / "config.toml"
        config.write_text(f'gateways = [{{ url = "{gateway}" }}]\ndiscovery = "off"\nlimit_rate = "14M"\n')
        env = {
            "PATH": f"{fetchd.parent}:{os.environ['PATH']}",
            "FETCHD_STATE_DIR": str(home / "state"),
            "FETCHD_CONFIG": str(config),
            "PS1": "$ ",
            "TERM": "xterm-256color",
        }
        words = [f"{name}={shlex.quote(value)}" for name, value in env.items()]
        shell = " ".join(["env", "-u", "TMUX", "-u", "CI", "-u", "NO_COLOR", *words, "bash", "--norc"])
        self.tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(work), shell)
        time.sleep(0.5)
        self.start = time.monotonic()

    def tmux(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-S", self.socket, "-f", "/dev/null", *arguments], check=True, capture_output=True, text=True
        ).stdout

    def look(self) -> str:
        text = self.tmux("capture-pane", "-p", "-e")
        lines = text.split("\n")[:ROWS]
        if not self.frames or self.frames[-1][1] != lines:
            self.frames.append((time.monotonic() - self.start, lines))
        return text

    def watch(self, seconds: float):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(FRAME)

    def until(self, pattern: str):
        for _ in range(600):
            if re.search(pattern, self.look()):
                return
            time.sleep(FRAME)
        sys.exit(f"the screen never showed {pattern!r}:\n{self.look()}")

    def type(self, line: str):
        for piece in re.findall(r".{1,6}", line):
            self.tmux("send-keys", "-l", piece)
            self.watch(FRAME / 2)
        self.tmux("send-keys", "Enter")


def record(screen: Screen, cid: str):
    screen.watch(0.6)
    screen.type(f"fetchd get {cid} -o model.bin")
    screen.until(r" [45]\d%")
    pids = subprocess.run(
        ["pgrep", "-f", f"fetchd get {cid}"], capture_output=True, text=True, check=True
    ).stdout.split()
    for pid in pids:
        os.kill(int(pid), 9)
    screen.until("Killed")
    screen.watch(1.0)
    screen.type("fetchd list")
    screen.until("interrupted")
    screen.watch(1.5)
    screen.type("fetchd resume 1")
    screen.until(r"/model\.bin\n")
    screen.watch(0.5)
    screen.type("fetchd verify model.bin")
    screen.until(r"ok")
    screen.watch(1.0)


def spans(line: str) -> str:
    """A line of the terminal as text of the picture."""
    parts, style = [], ""
    for piece in re.split(r"(\x1b\[[0-9;]*m)", line.rstrip()):
        if piece.startswith("\x1b["):
            codes = [code for code in piece[2:-1].split(";") if code in COLORS]
            style = COLORS[codes[-1]] if codes else ""
        elif piece:
            text = html.escape(piece)
            parts.append(f'<tspan fill="{style}">{text}</tspan>' if style else text)
    return "".join(parts)


def picture(frames: list[tuple[float, list[str]]]) -> str:
    length = frames[-1][0] + REST
    width, height = COLUMNS * CHAR + 2 * MARGIN, ROWS * LINE + 2 * MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">',
        "<title>fetchd get, killed half-way, resumed and verified</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#0d1117"/>',
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14" '
        'fill="#c9d1d9" xml:space="preserve">',
    ]
    for row in range(ROWS):
        column = [lines[row] if row < len(lines) else "" for _, lines in frames]
        begin = 0
        for index in range(1, len(frames) + 1):
            if index < len(frames) and column[index] == column[begin]:
                continue
            text = spans(column[begin])
            if text:
                start = frames[begin][0] / length
                end = frames[index][0] / length if index < len(frames) else 1.0
                values, times = ["none", "inline"], ["0", f"{start:.4f}"]
                if begin == 0:
                    values, times = ["inline"], ["0"]
                if end < 1.0:
                    values.append("none")
                    times.append(f"{end:.4f}")
                y = MARGIN + LINE * (row + 1) - 5
                out.append(
                    f'<text x="{MARGIN}" y="{y}" textLength="{len(re.sub("<[^>]*>", "", html.unescape(text))) * CHAR:.1f}" '
                    f'lengthAdjust="spacingAndGlyphs">{text}<animate attributeName="display" '
                    f'values="{";".join(values)}" keyTimes="{";".join(times)}" dur="{length:.1f}s" '
                    f'calcMode="discrete" repeatCount="indefinite"/></text>'
                )
            begin = index
    out.append("</g></svg>")
    return "\n".join(out) + "\n"


def main():
    fetchd = Path(sys.argv[1]).resolve()
    binary = os.environ.get("FETCHD_KUBO") or subprocess.run(
        [str(Path(__file__).parents[1] / ".ci/kubo")], check=True, capture_output=True, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        kubo = Kubo(binary, home)
        try:
            screen = Screen(fetchd, home, f"http://127.0.0.1:{kubo.port}")
            try:
                record(screen, kubo.cid)
            finally:
                screen.tmux("kill-server")
        finally:
            kubo.daemon.terminate()
            kubo.daemon.wait()
    # The place where it was recorded is nobody's business.
    hidden = [(at, [line.replace(str(home / "work"), "~/models") for line in lines]) for at, lines in screen.frames]
    sys.stdout.write(picture(hidden))


main()
