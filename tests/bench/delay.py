#!/usr/bin/env python3
"""A TCP proxy that hands every byte on after a pause, as a long way would.

    delay.py MILLISECONDS HOST:PORT

The pause is for each direction: a round trip takes twice as long. Bandwidth is not limited. Prints
the port that it listens on, and runs until it is killed.
"""

import asyncio
import sys

PIECE = 256 << 10
# As much as a way of that length may hold; a real one holds bandwidth × delay.
IN_FLIGHT = 4096


async def pump(reader, writer, pause):
    loop = asyncio.get_running_loop()
    way = asyncio.Queue(IN_FLIGHT)

    async def arrive():
        while True:
            due, piece = await way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                writer.close()
                return
            writer.write(piece)
            await writer.drain()

    async def depart():
        while True:
            piece = await reader.read(PIECE)
            await way.put((loop.time() + pause, piece))
            if not piece:
                return

    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(arrive())
            both.create_task(depart())
    except* (ConnectionError, OSError):
        writer.close()


async def main():
    pause = float(sys.argv[1]) / 1000
    host, _, port = sys.argv[2].rpartition(":")

    async def serve(reader, writer):
        # The handshake takes a round trip too.
        await asyncio.sleep(2 * pause)
        onward, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, back, pause), pump(onward, writer, pause))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
