"""A live session over a real connection, in real time: from sound in to answer out, processor and memory.

    python benchmarks/live.py [--clip clip.mp4] [--seconds 60] [--asr] [--text "…"] [--output live.json]

Starts `mecam serve`, sends a clip again and again as a page does (16-bit sound in pieces of 100 ms, pictures of 640
pixels, 5 a second), and takes for every answer the time from when the newest sound in it was sent until it came back.
`--asr` lets the server write down what is said (extra `asr`, `mecam assets fetch asr`). Needs the extra `serve`.
"""

import argparse
import asyncio
import bisect
import json
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from mecam.features.media import Media
from mecam.pretrained.cards import DEMO_CLIP

RATE, BLOCK = 16_000, 1_600
PICTURES_PER_S, SIDE = 5.0, 640
SOUND, PICTURE = 1, 2
EARLY_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=DEMO_CLIP)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--asr", action="store_true")
    parser.add_argument("--text", default="", help="sent once every five seconds, as the words of these")
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mecam-live-") as folder:
        port = free_port()
        command = [sys.executable, "-c", "from mecam.cli import main; raise SystemExit(main())", "serve"]
        command += ["--port", str(port), "--data", folder, "--readers", "1"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_for(f"http://127.0.0.1:{port}/readyz")
            found = asyncio.run(session(f"ws://127.0.0.1:{port}/v1/stream", options, psutil.Process(server.pid)))
        finally:
            server.terminate()
            server.wait()
    text = json.dumps({"clip": options.clip.name, "asr": options.asr, **found}, indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")


async def session(url: str, options: argparse.Namespace, server: psutil.Process) -> dict[str, Any]:
    """Send, take in, measure."""
    from websockets.asyncio.client import connect

    messages = of_clip(options.clip, options.seconds)
    opened = time.monotonic()
    async with connect(url, proxy=None, max_size=None) as client:
        start = {"type": "start", "asr": options.asr, "every_s": options.every, "sample_rate": RATE}
        await client.send(json.dumps(start))
        ready = json.loads(await client.recv())
        begun = time.monotonic()
        answers: list[tuple[float, dict[str, Any]]] = []
        memory: dict[str, float] = {}
        taking = asyncio.create_task(take_in(client, answers))
        watching = asyncio.create_task(watch(server, begun, memory))
        before = processor_s(server)
        sent: list[tuple[float, float]] = []  # end of a block in the session, when it was sent
        said = 0
        for due, kind, at, payload in messages:
            if (left := begun + due - time.monotonic()) > 0:
                await asyncio.sleep(left)
            if options.text and due // 5 >= said:
                words = {"type": "text", "id": str(said), "text": options.text, "start": due, "stop": due + 2.0}
                await client.send(json.dumps(words))
                said += 1
            await client.send(struct.pack("<Bd", kind, at) + payload)
            if kind == SOUND:
                sent.append((at + len(payload) / (2 * RATE), time.monotonic()))
        spent, passed = processor_s(server) - before, time.monotonic() - begun
        watching.cancel()
        await client.send('{"type": "end"}')
        await taking
    ends = [end for end, _ in sent]
    waits = np.array(
        [
            came - sent[max(bisect.bisect_right(ends, answer["time"] + 1e-3) - 1, 0)][1]
            for came, answer in answers[:-1]  # the last one follows the end, not the clock
        ]
    )
    last = answers[-1][1]
    return {
        "ready_s": round(begun - opened, 2),
        "speech_to_text": ready["asr"],
        "seconds": round(passed, 1),
        "answers": len(waits),
        "sound_in_to_answer_out_s": {
            **{f"p{q}": round(float(np.percentile(waits, q)), 3) for q in (50, 90, 99)},
            "most": round(float(waits.max()), 3),
        },
        "processor_share_of_one_core": round(spent / passed, 3),
        "memory_mb": dict(sorted(memory.items())),
        "dropped": last["dropped"],
        "texts": [text["text"] for text in last["texts"]],
    }


async def take_in(client: Any, answers: list[tuple[float, dict[str, Any]]]) -> None:
    async for message in client:
        came, content = time.monotonic(), json.loads(message)
        if content["type"] != "answer":
            raise SystemExit(f"the session ended: {message}")
        answers.append((came, content))


async def watch(server: psutil.Process, begun: float, memory: dict[str, float]) -> None:
    """Memory of the session's process and of all, after ten seconds and at last."""
    while True:
        await asyncio.sleep(1.0)
        sizes = [process.memory_info().rss / 1e6 for process in processes(server)]
        now = {"all": round(sum(sizes), 1), "session": round(sizes[-1], 1)}
        for name, size in now.items():
            memory[f"{name}_at_the_end"] = size
            if time.monotonic() - begun <= EARLY_S:
                memory[f"{name}_at_{EARLY_S:g}_s"] = size


def processes(server: psutil.Process) -> list[psutil.Process]:
    """The server and what it started, the newest last."""
    return [server, *sorted(server.children(recursive=True), key=lambda process: process.create_time())]


def processor_s(server: psutil.Process) -> float:
    times = [process.cpu_times() for process in processes(server)]
    return sum(one.user + one.system for one in times)


def of_clip(path: Path, seconds: float) -> list[tuple[float, int, float, bytes]]:
    """When it is sent, kind, its time, and what it is; the clip follows itself until the time is over."""
    media = Media(path)
    found: list[tuple[float, int, float, bytes]] = []
    sound = np.zeros(round(media.duration * RATE), np.int16)
    if media.sound is not None:
        start, samples = media.waveform(rate=RATE)
        first = round(start * RATE)
        heard = (samples.clip(-1, 1) * 32767).astype(np.int16)[: max(len(sound) - first, 0)]
        sound[first : first + len(heard)] = heard
    length = len(sound) // BLOCK * BLOCK
    pictures: list[tuple[float, bytes]] = []
    if media.video is not None:
        frames = media.frames(0.0, length / RATE, rate=PICTURES_PER_S, max_side=SIDE)
        pictures = [(frame.time, jpeg(frame.image)) for frame in frames]
    for number in range(int(np.ceil(seconds * RATE / length))):
        begin = number * length / RATE
        for at in range(0, length, BLOCK):
            block = sound[at : at + BLOCK].astype("<i2").tobytes()
            found.append((begin + (at + BLOCK) / RATE, SOUND, begin + at / RATE, block))
        found += [(begin + at, PICTURE, begin + at, picture) for at, picture in pictures]
    return sorted((message for message in found if message[0] <= seconds), key=lambda message: message[0])


def jpeg(image: NDArray[np.uint8]) -> bytes:
    import av

    height, width = (side // 2 * 2 for side in image.shape[:2])
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj420p", Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(width, height, "yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float = 60.0) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with direct.open(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the service did not start")


if __name__ == "__main__":
    main()
