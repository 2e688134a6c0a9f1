"""A trained network in use: one small protocol, behind which PyTorch is one library of several.

A backend reads arrays and gives arrays (`mecam.arrays`). Nothing that uses one needs to know what computes it:
`mecam.models.trained` computes with PyTorch, `mecam.prediction.onnx_backend` with ONNX Runtime.
"""

from typing import Protocol, runtime_checkable

from mecam.arrays import Network
from mecam.models.checkpoint import Checkpoint, Preprocessor

__all__ = ["Backend"]


@runtime_checkable
class Backend(Network, Protocol):
    """A trained network with all that predicting needs beside it. Several threads may share one."""

    @property
    def checkpoint(self) -> Checkpoint:
        """What is known about the model beside its weights."""
        ...

    @property
    def preprocessor(self) -> Preprocessor:
        """Makes what the network reads."""
        ...

    @property
    def allow_encoder(self) -> bool:
        """Whether it may name encoders (of speech too) that are fetched, or lie elsewhere on this machine."""
        ...
