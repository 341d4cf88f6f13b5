#!/usr/bin/env python3
"""Gateways on the loopback that give so many bytes a second each, over all their connections.

    gateways.py --file FILE --blocks DIRECTORY --cid CID RATE...

Each RATE, in KiB a second, is one gateway on a port of its own. It answers /ipfs/CID with the file
(with Range) and /ipfs/BLOCK?format=raw with the file of that name in DIRECTORY. The first line
printed is a JSON list of the base URLs; for each line of standard input, and at its end, comes one
with what each gateway was asked for and what it gave so far.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import sys

PIECE = 16 << 10
# So much may be sent at once after a pause: less than what a client could notice, enough to be exact.
BURST_SECONDS = 0.02
# What lies in socket buffers counts as sent: small ones keep the figures honest.
SEND_BUFFER = 64 << 10
RANGE = re.compile(rb"^range: *bytes=(\d+)-(\d*)\r?$", re.I | re.M)


class Gateway:
    def __init__(self, options, rate):
        self.options = options
        self.rate = rate
        self.due = 0.0
        self.requests = 0
        self.sent = 0

    async def turn(self, length):
        """Waits until so many bytes may be sent."""
        now = asyncio.get_running_loop().time()
        self.due = max(self.due, now - BURST_SECONDS) + length / self.rate
        if self.due > now:
            await asyncio.sleep(self.due - now)

    def found(self, target):
        path, _, query = target.partition("?")
        name = path.removeprefix("/ipfs/")
        if "format=car" in query:
            return None
        if "format=raw" in query:
            block = os.path.join(self.options.blocks, os.path.basename(name))
            return (block, "application/vnd.ipld.raw") if os.path.isfile(block) else None
        return (self.options.file, "application/octet-stream") if name == self.options.cid else None

    async def answer(self, writer, target, request):
        found = self.found(target)
        if found is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        path, kind = found
        size = os.path.getsize(path)
        asked = RANGE.search(request)
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]) if asked and asked[2] else size - 1, size - 1)
        if first > last:
            writer.write(f"HTTP/1.1 416 No\r\ncontent-range: bytes */{size}\r\ncontent-length: 0\r\n\r\n".encode())
            return
        status = f"206 Partial Content\r\ncontent-range: bytes {first}-{last}/{size}" if asked else "200 OK"
        head = f"HTTP/1.1 {status}\r\ncontent-length: {last - first + 1}\r\ncontent-type: {kind}\r\naccept-ranges: bytes\r\n\r\n"
        writer.write(head.encode())
        with open(path, "rb") as file:
            file.seek(first)
            left = last - first + 1
            while left:
                piece = file.read(min(PIECE, left))
                await self.turn(len(piece))
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
                left -= len(piece)

    async def serve(self, reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        writer.transport.set_write_buffer_limits(high=PIECE)
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await self.answer(writer, request.split(b" ", 2)[1].decode(), request)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", required=True)
    parser.add_argument("--blocks", required=True)
    parser.add_argument("--cid", required=True)
    parser.add_argument("rate", type=int, nargs="+")
    options = parser.parse_args()
    gateways = [Gateway(options, rate << 10) for rate in options.rate]
    servers = [await asyncio.start_server(gateway.serve, "127.0.0.1", 0) for gateway in gateways]
    print(json.dumps([f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers]), flush=True)
    line = "\n"
    while line:
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        print(json.dumps([{"requests": one.requests, "sent": one.sent} for one in gateways]), flush=True)
    os._exit(0)


asyncio.run(main())
