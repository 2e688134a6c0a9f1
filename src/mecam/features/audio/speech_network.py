"""A pretrained speech encoder that reads samples (wav2vec 2.0, HuBERT, WavLM …), through `transformers`."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.features import encoders
from mecam.features.audio.acoustics import RATE_HZ
from mecam.hub import CONVERT, loading_options, refusal
from mecam.threads import ProcessLock

__all__ = ["SpeechNetwork", "encode", "width"]

_LOADING_LOCK = ProcessLock()
"""`transformers` changes PyTorch's defaults while it loads a model."""


class SpeechNetwork:
    """The last layer of an encoder, for a batch of pieces of one length.

    Args:
        model: a name on the hub, or a folder.
        device: where it computes.

    Raises: DataError if the model cannot be loaded.
    """

    def __init__(self, model: str, device: str = "cpu") -> None:
        from transformers import AutoModel

        with _LOADING_LOCK, _loading(model):
            made = AutoModel.from_pretrained(model, use_safetensors=True, **loading_options(model))
        self._network, self._device = made.eval().to(device), device

    def __call__(self, sounds: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """N × samples, each with mean 0 and variance 1 → one array, N × rows × width."""
        import torch

        with torch.inference_mode():
            states = self._network(torch.from_numpy(sounds).to(self._device)).last_hidden_state
            return [np.asarray(states.float().cpu().numpy())]


def width(model: str) -> int:
    """Numbers in a row.

    Raises: DataError if there is no such model.
    """
    return int(_config(model).hidden_size)


def encode(model: str, sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows of one piece; none where it is shorter than 50 ms.

    Raises: DataError if the model cannot be loaded.
    """
    if len(sound) < RATE_HZ // 20:
        return np.empty((0, width(model)), np.float32)
    normal = (sound - sound.mean()) / (sound.std() + 1e-7)
    if (outputs := encoders.run(("speech", model), normal)) is not None:
        return outputs[0]
    rows: NDArray[np.float32] = _network(model)(normal[None])[0][0]
    return rows


@cache
def _config(model: str) -> Any:
    from transformers import AutoConfig

    with _LOADING_LOCK, _loading(model):
        return AutoConfig.from_pretrained(model, **loading_options(model))


@cache
def _network(model: str) -> SpeechNetwork:
    return SpeechNetwork(model)


class _loading:  # noqa: N801 - reads as a verb where it is used
    """Turn what loading a model can raise into one DataError."""

    def __init__(self, model: str) -> None:
        self.model = model

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError | ValueError | KeyError):
            why = refusal(self.model, error)
            raise DataError(
                f"the speech encoder {self.model!r} cannot be loaded: {why}",
                fix=f"give a folder with config.json and the weights, or a hub name while online; {CONVERT}",
            ) from error
