"""Sentiment and emotion from text, audio and video, with negative information filtered out first.

`docs/python.md` shows what is here; `mecam.api` is where most of it lives.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mecam.version import __version__

if TYPE_CHECKING:
    from mecam.api import Comparison, Run, compare, extract, import_data, synth, train
    from mecam.data.store import Store
    from mecam.data_table import DataTable
    from mecam.errors import MecamError
    from mecam.export.push import push
    from mecam.prediction.built_in import predict, predict_text
    from mecam.prediction.predictor import Predictor, load
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = [
    "Comparison",
    "DataTable",
    "MecamError",
    "Prediction",
    "Predictor",
    "RecordingPrediction",
    "Run",
    "Store",
    "__version__",
    "compare",
    "extract",
    "import_data",
    "load",
    "predict",
    "predict_text",
    "push",
    "synth",
    "train",
]

_HOMES = {
    **dict.fromkeys(("Comparison", "Run", "compare", "extract", "import_data", "synth", "train"), "mecam.api"),
    "Store": "mecam.data.store",
    "DataTable": "mecam.data_table",
    "MecamError": "mecam.errors",
    "push": "mecam.export.push",
    **dict.fromkeys(("predict", "predict_text"), "mecam.prediction.built_in"),
    **dict.fromkeys(("Predictor", "load"), "mecam.prediction.predictor"),
    **dict.fromkeys(("Prediction", "RecordingPrediction"), "mecam.prediction.result"),
}
"""Name → the module that is imported when the name is first asked for: `import mecam` itself brings nothing heavy."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mecam' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
