"""The backend that computes a folder's model: PyTorch for a run, ONNX Runtime for what `mecam export` wrote."""

from pathlib import Path

from mecam.errors import missing_extras
from mecam.models.backend import Backend
from mecam.models.checkpoint import is_exported
from mecam.threads import keep_few_shapes

__all__ = ["open_backend"]


def open_backend(folder: str | Path, *, device: str | None = None, allow_encoder: bool | None = None) -> Backend:
    """The backend that computes the model of a run folder, a checkpoint folder or an exported model.

    Args:
        folder: of the model.
        device: where PyTorch computes; None takes the GPU if there is one.
        allow_encoder: let a checkpoint name encoders that are fetched, or read from elsewhere on this machine.

    Raises: ModelError if the model cannot be used; MissingExtraError if it needs PyTorch, which is not installed.
    """
    if is_exported(Path(folder)):
        from mecam.prediction.onnx_backend import OnnxBackend

        return OnnxBackend(folder, allow_encoder=allow_encoder)
    keep_few_shapes()
    with missing_extras():
        import torch

        from mecam.models.trained import load_checkpoint

    trained = load_checkpoint(folder, allow_encoder=allow_encoder)
    trained.model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return trained
