"""Networks that compute on one device for many recordings at once: in batches, in a process of their own.

Recordings are decoded and followed by worker processes, each with one recording. Where there is a GPU, their networks
run in one process, which takes what is waiting and computes it together. It never waits for a batch to fill: while one
is computed, the next comes together.

    with encoders.serving("cuda") as server:        # here
        ...encoders.use(server)                     # in each worker; from then on `run` asks the server

Source: the same networks as in a worker itself. Differs: PyTorch rounds otherwise than LiteRT, and a GPU may round
otherwise from batch to batch; rows agree to about five digits.
"""

import multiprocessing
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mecam.errors import ConfigError, DataError, MecamError, missing_extras
from mecam.features.child_processes import without_main
from mecam.pipes import PipeEnd

__all__ = ["MAX_BATCH", "Key", "Server", "ServerGoneError", "check_device", "run", "serving", "use"]

Key = tuple[str, ...]
"""A network: `("face", FILE, PART)`, or `("speech", MODEL)`."""
Network = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]
"""Outputs for a batch: the first axis of all of them is the batch."""

MAX_BATCH = {"face": 32, "speech": 8}
"""What is computed together: crops of 192 × 192 pixels, pieces of 20 seconds. Halved where memory does not suffice."""
_GONE = "the process that computes for all recordings has ended"


class ServerGoneError(DataError):
    """The server has ended: it is no fault of the recording, and no other can be read."""


class Server(NamedTuple):
    """Where a server is found, for workers on the same machine."""

    address: str
    secret: bytes


_server: Server | None = None
_connections = threading.local()


def use(server: Server | None) -> None:
    """Let the networks of this process run on a server; None: in this process."""
    global _server
    _server = server


def run(key: Key, given: NDArray[np.float32]) -> list[NDArray[np.float32]] | None:
    """What a network makes of one input, by the server that this process uses; None if it uses none.

    Raises: DataError if the network fails; ServerGoneError if the server has ended.
    """
    if _server is None:
        return None
    try:
        connection = _connection(_server)
        connection.send((key, given))
        answer = connection.recv()
    except (OSError, EOFError) as error:
        raise ServerGoneError(_GONE, fix="give the same command again: it continues") from error
    if isinstance(answer, str):
        raise DataError(answer)
    outputs: list[NDArray[np.float32]] = answer
    return outputs


def _connection(server: Server) -> Any:
    """This thread's own: what is asked and what is answered alternate on it."""
    if getattr(_connections, "server", None) != server:
        _connections.server = server
        _connections.open = Client(server.address, authkey=server.secret)
    return _connections.open


@contextmanager
def serving(device: str) -> Iterator[Server]:
    """A process that computes on a device, as long as the block lasts.

    Args:
        device: PyTorch's name of it: cuda (all GPUs that there are), cuda:1, mps, cpu.

    Raises: MissingExtraError without PyTorch; ConfigError if there is no such device.
    """
    check_device(device)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="mecam-") as folder:
        address = str(Path(folder) / "socket") if hasattr(socket, "AF_UNIX") else None
        process = context.Process(target=_serve, args=(there, device, address), name="mecam-encoders", daemon=True)
        with without_main():
            process.start()
        there.close()
        try:
            yield _started(here)
        finally:
            here.close()
            process.terminate()
            process.join()


def _started(connection: PipeEnd) -> Server:
    try:
        answer = connection.recv()
    except EOFError as error:
        raise DataError(_GONE, fix="look at the messages above") from error
    server: Server = answer
    return server


def check_device(device: str) -> None:
    """Raise ConfigError if PyTorch cannot compute on this device, MissingExtraError if it is not installed."""
    with missing_extras():
        import torch
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        raise ConfigError(
            f"PyTorch cannot compute on {device!r} here: {str(error).splitlines()[0]}",
            where="--device",
            fix="choose cuda where there is a GPU and PyTorch was built for it, or leave the option out",
        ) from error


@dataclass(eq=False)
class _Request:
    key: Key
    given: NDArray[np.float32]
    answer: list[NDArray[np.float32]] | str = ""
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def alike(self) -> tuple[Key, tuple[int, ...]]:
        """Requests that are alike may be computed together."""
        return self.key, self.given.shape


def _serve(parent: PipeEnd, device: str, address: str | None) -> None:
    """The process: answer every worker until the parent closes its end, or ends."""
    secret = secrets.token_bytes(32)
    waiting = _Waiting()
    listener = Listener(address, authkey=secret)
    threading.Thread(target=_accept, args=(listener, waiting), daemon=True).start()
    for one in _devices(device):
        threading.Thread(target=_compute, args=(_Networks(one), waiting), daemon=True).start()
    parent.send(Server(str(listener.address), secret))
    with suppress(EOFError, OSError):
        parent.recv()
    os._exit(0)


def _devices(device: str) -> list[str]:
    """`cuda` is all GPUs that this process may use; the others are one."""
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] if device == "cuda" else [device]


class _Waiting:
    """What nobody computes yet, in the order in which it came."""

    def __init__(self) -> None:
        self._requests: list[_Request] = []
        self._changed = threading.Condition()

    def add(self, request: _Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify()

    def take(self) -> list[_Request]:
        """Whoever came first, and what can be computed together with it; waits until there is somebody."""
        with self._changed:
            self._changed.wait_for(lambda: self._requests)
            first = self._requests[0]
            batch = [request for request in self._requests if request.alike == first.alike]
            batch = batch[: MAX_BATCH[first.key[0]]]
            self._requests = [request for request in self._requests if request not in batch]
            return batch


def _compute(networks: "_Networks", waiting: _Waiting) -> None:
    """On one device, for ever."""
    while True:
        networks.answer(waiting.take())


def _accept(listener: Listener, waiting: _Waiting) -> None:
    while True:
        with suppress(OSError, EOFError, multiprocessing.AuthenticationError):
            connection = listener.accept()
            threading.Thread(target=_listen, args=(connection, waiting), daemon=True).start()


def _listen(connection: Any, waiting: _Waiting) -> None:
    """Hand on what one thread of a worker asks, one thing after the other."""
    with suppress(EOFError, OSError), connection:
        while True:
            request = _Request(*connection.recv())
            waiting.add(request)
            request.done.wait()
            connection.send(request.answer)


class _Networks:
    """The networks that were asked for, on one device."""

    def __init__(self, device: str) -> None:
        import torch

        self._device, self._made = device, dict[Key, Network]()
        torch.backends.cudnn.allow_tf32 = False  # ten bits would move a face by a tenth of a pixel

    def answer(self, batch: Sequence[_Request]) -> None:
        """Compute what is alike together."""
        try:
            network = self._of(batch[0].key)
            outputs = self._computed(network, np.stack([request.given for request in batch]))
        except Exception as error:  # it is the worker's, which says whose recording it was
            what = error.what if isinstance(error, MecamError) else f"{type(error).__name__}: {error}"
            for request in batch:
                request.answer = what
        else:
            for place, request in enumerate(batch):
                request.answer = [output[place] for output in outputs]
        for request in batch:
            request.done.set()

    def _computed(self, network: Network, given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs; in two halves where memory does not suffice."""
        import torch

        try:
            return network(given)
        except torch.cuda.OutOfMemoryError:
            if len(given) == 1:
                raise
        torch.cuda.empty_cache()
        halves = [self._computed(network, half) for half in np.array_split(given, 2)]
        return [np.concatenate(parts) for parts in zip(*halves, strict=True)]

    def _of(self, key: Key) -> Network:
        if key not in self._made:
            self._made[key] = _network(key, self._device)
        return self._made[key]


def _network(key: Key, device: str) -> Network:
    """A network on a device."""
    kind, name, *part = key
    if kind == "speech":
        from mecam.features.audio.speech_network import SpeechNetwork

        return SpeechNetwork(name, device)
    from mecam.features.vision.face_models import hushed
    from mecam.features.vision.model_files import BUILT_IN, content
    from mecam.nn.litert import LiteRTNetwork
    from mecam.nn.onnx_graph import OnnxNetwork

    (asset,) = (asset for asset in BUILT_IN if asset.name == name)
    if name.endswith(".onnx"):
        return OnnxNetwork(content(asset), device)
    with hushed():
        return LiteRTNetwork(content(asset, part[0]), device)
