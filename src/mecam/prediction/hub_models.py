"""Trained models on the Hugging Face hub, or on a server that speaks its protocol: found, bounded, fetched, checked.

`hf:ORG/NAME@REVISION` names one. A repository holds a checkpoint at its top and an exported model in `onnx/`. Of either
a fixed list of files is fetched into a folder of the cache that is named after the commit, whole or not at all:

    assets/hub/HOST/ORG--NAME/checkpoint/COMMIT/   config.json, model.safetensors, text_encoder/
    assets/hub/HOST/ORG--NAME/onnx/COMMIT/         model.json, model.onnx …
    assets/hub/HOST/ORG--NAME/refs/REVISION        the commit that a branch or tag last stood for

A repository may come from a stranger. Nothing but this list is fetched, sizes are bounded before, no file is a link,
and what a description names is checked before anything is built from it.
"""

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from mecam.budget import small_json, small_text
from mecam.errors import ConfigError, MecamError, ModelError, ServiceError
from mecam.features.extractor import GROUP as EXTRACTORS
from mecam.fetched import folders
from mecam.files import whole_folder, write_whole
from mecam.hub import hub_address, offline
from mecam.models.checkpoint import ALLOW_ENCODER, CONFIG, EXPORTED, MAX_DESCRIPTION_BYTES, TEXT_ENCODER
from mecam.models.checkpoint import WEIGHTS as CHECKPOINT_WEIGHTS
from mecam.models.registry import BUILT_IN
from mecam.plugins import plug_ins
from mecam.prediction.exported import NETWORK, TOKENIZER, WEIGHTS
from mecam.prediction.hub_client import COMMIT, HubAddress, answered, client
from mecam.version import __version__

__all__ = ["CHECKPOINT_FILES", "DOWNLOAD_LIMIT", "EXPORTED_FILES", "MAX_DOWNLOAD_GB", "ONNX", "HubModel"]
__all__ += ["check_model", "fetch", "is_hub_model"]

MAX_DOWNLOAD_GB = 8.0
"""Most that one model may be, in 10⁹ bytes, unless the user says otherwise (`MECAM_MAX_DOWNLOAD_GB`)."""

DOWNLOAD_LIMIT: ContextVar[float | None] = ContextVar("download_limit", default=None)
"""The same, where who fetches a model is not told; a command sets it."""

ONNX = "onnx"
"""The folder of a repository that holds an exported model."""

ENCODER_FILES = (
    *("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "bpe.codes"),
    *("spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model"),
)
"""What may lie in the folder of a text encoder: its sizes, and what the tokenizers of `transformers` write."""

CHECKPOINT_FILES = (CONFIG, CHECKPOINT_WEIGHTS, *(f"{TEXT_ENCODER}/{name}" for name in ENCODER_FILES))
"""All that is fetched of a checkpoint."""

EXPORTED_FILES = tuple(f"{ONNX}/{name}" for name in (EXPORTED, NETWORK, WEIGHTS, TOKENIZER))
"""All that is fetched of an exported model."""

LARGE = (CHECKPOINT_WEIGHTS, f"{ONNX}/{NETWORK}", f"{ONNX}/{WEIGHTS}")
"""Files that may be as large as the whole model; the others describe something."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".msgpack", ".h5")
"""Ends of the names of weights that are, or hold, pickles and other programs."""

TEXT_ENCODERS = (
    *("albert", "bert", "big_bird", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2", "distilbert"),
    *("electra", "ernie", "eurobert", "ibert", "longformer", "luke", "mobilebert", "modernbert", "mpnet", "nomic_bert"),
    *("nystromformer", "rembert", "roberta", "roberta-prelayernorm", "roformer", "squeezebert", "xlm-roberta"),
    *("xlm-roberta-xl", "xlnet"),
)
"""Kinds of text encoders (`model_type` of `transformers`) that a model of the hub may have. Networks of some
other kinds fetch further ones while they are built."""


def is_hub_model(model: object) -> bool:
    """Whether a model is named by an address on the hub, and not by a folder."""
    return isinstance(model, str | os.PathLike) and str(model).startswith("hf:")


@dataclass(frozen=True)
class HubModel:
    """A model of the hub as it lies on this machine.

    Attributes:
        folder: a checkpoint folder or an exported model.
        address: with the commit that the revision stands for, `hf:ORG/NAME@COMMIT`.
        note: what to tell the user about the revision; empty where nothing.
    """

    folder: Path
    address: str
    note: str = ""


def fetch(address: str | Path, *, max_download_gb: float | None = None, allow_encoder: bool | None = None) -> HubModel:
    """Bring a model of the hub to this machine, or find it there.

    The checkpoint is taken where PyTorch is installed, else the exported model. A commit that is in the cache is not
    asked for again. Where the hub cannot be reached, a branch or tag stands for the commit that it last stood for.

    Args:
        address: `hf:ORG/NAME@REVISION`.
        max_download_gb: see `MAX_DOWNLOAD_GB`.
        allow_encoder: as `mecam.prediction.predictor.load` has it.

    Raises: ConfigError if it is no address; ModelError if there is no model there, it is too large, or it asks for what
        it may not; ServiceError if the hub does not answer; MissingExtraError without huggingface_hub.
    """
    wanted = HubAddress.parse(address)
    allow_encoder = ALLOW_ENCODER.get() if allow_encoder is None else allow_encoder
    commit, place, note = _found(wanted, _most_bytes(max_download_gb))
    check_model(place, allow_encoder=allow_encoder)
    if wanted.revision is None and not note:
        note = f"no revision is given: main is commit {commit} now; pin it with {wanted.at(commit)}"
    return HubModel(place, wanted.at(commit), note)


def _found(wanted: HubAddress, most: float) -> tuple[str, Path, str]:
    """The commit, the folder of its model, and what to tell about that.

    Raises: as `fetch`.
    """
    light = wanted.exported or find_spec("torch") is None
    if wanted.commit is not None and (place := _cached(wanted, wanted.commit, exported=light)) is not None:
        return wanted.commit, place, ""
    try:
        if offline():
            raise ServiceError("the hub is not asked (HF_HUB_OFFLINE)", where=wanted.where)
        commit, sizes = _listing(wanted)
    except ServiceError as error:
        commit, note = _last_known(wanted, error)
        for exported in dict.fromkeys((light, wanted.exported, True)):
            if (place := _cached(wanted, commit, exported=exported)) is not None:
                return commit, place, note
        raise _not_here(wanted, error) from error
    exported = wanted.exported or _lacks_checkpoint(wanted, sizes)
    place = _cached(wanted, commit, exported=exported)
    place = place or _download(wanted, commit, sizes, exported=exported, most=most)
    _remember(wanted, commit)
    return commit, place, ""


def check_model(folder: Path, *, allow_encoder: bool = False) -> None:
    """Refuse a model of a stranger that would have code imported or fetched: by what it names.

    What its weights and its network may do is checked where they are read.

    Args:
        folder: a checkpoint folder or an exported model.
        allow_encoder: let it have a text encoder of any kind.

    Raises: ModelError naming what it asks for; DataError if its description cannot be read.
    """
    exported = (folder / EXPORTED).is_file()
    content = small_json(folder / (EXPORTED if exported else CONFIG), most=MAX_DESCRIPTION_BYTES)
    try:
        name = content["model"]["name"]
        extractors = {str(spec["extractor"]).partition(":")[0] for spec in content["inputs"]["features"].values()}
    except (KeyError, TypeError, AttributeError) as error:
        what = "this is no model of mecam: its description says neither which model it is nor what it reads"
        raise ModelError(what, where=str(folder)) from error
    if name not in BUILT_IN:
        raise _refused(folder, f"asks for the model {name!r}, which does not come with mecam: a plug-in is a program")
    if strange := sorted(extractors & plug_ins(EXTRACTORS).keys()):
        raise _refused(folder, f"asks for the extractor {strange[0]!r} of a plug-in, which is a program")
    encoder = folder / TEXT_ENCODER / CONFIG
    if not exported and encoder.is_file() and not allow_encoder:
        found = small_json(encoder, most=MAX_DESCRIPTION_BYTES)
        kind = found.get("model_type") if isinstance(found, dict) else None
        if kind not in TEXT_ENCODERS:
            what = f"has a text encoder of the kind {kind!r}, which is not among those that build without more"
            raise _refused(folder, what, fix="if you trust its source, add --allow-encoder (allow_encoder=True)")


def _refused(folder: Path, what: str, *, fix: str = "") -> ModelError:
    trusted = f"if you trust it and have its package, load the folder itself: {folder}"
    return ModelError(f"refused: this model {what}", where=str(folder), fix=fix or trusted)


def _most_bytes(given: float | None) -> float:
    """The limit on a download, in bytes.

    Raises: ConfigError if it is no number above 0.
    """
    given = DOWNLOAD_LIMIT.get() if given is None else given
    text = os.environ.get("MECAM_MAX_DOWNLOAD_GB", "") if given is None else str(given)
    try:
        limit = float(text or MAX_DOWNLOAD_GB)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise ConfigError(f"the limit on downloads must be above 0, got {text!r}", where="--max-download-gb")
    return limit * 1e9


def _listing(wanted: HubAddress) -> tuple[str, dict[str, int | None]]:
    """The commit of a revision, and all files of the repository with their sizes.

    Raises: ModelError, ServiceError.
    """
    api = client()
    with answered(wanted.where):
        info = api.model_info(wanted.repository, revision=wanted.revision, files_metadata=True)
    if not COMMIT.fullmatch(str(info.sha)):
        raise ModelError(f"the hub names no commit: {str(info.sha)[:80]!r}", where=wanted.where)
    return str(info.sha), {str(one.rfilename): one.size for one in info.siblings or ()}


def _download(wanted: HubAddress, commit: str, sizes: Mapping[str, int | None], *, exported: bool, most: float) -> Path:
    """Fetch the files of one part, if they are small enough; return its folder.

    Raises: ModelError, ServiceError; DataError if the cache cannot be written.
    """
    for name in sizes:
        if _escapes(name):
            raise ModelError(f"refused: a file of this repository is called {name!r}", where=wanted.where)
    names = [name for name in (EXPORTED_FILES if exported else CHECKPOINT_FILES) if name in sizes]
    if exported and EXPORTED_FILES[0] not in names:
        what = "there is no exported model (onnx/model.json) in this repository"
        raise ModelError(what, where=wanted.where, fix="load it without /onnx, or push it again with its ONNX export")
    _check_sizes(wanted, {name: sizes[name] for name in names}, most)
    place = _place(wanted, commit, exported=exported)
    with whole_folder(place) as partial:
        with answered(wanted.where):
            from huggingface_hub import snapshot_download

            snapshot_download(
                wanted.repository,
                revision=commit,
                allow_patterns=names,
                local_dir=partial,
                endpoint=hub_address(),
                library_name="mecam",
                library_version=__version__,
            )
        shutil.rmtree(partial / ".cache", ignore_errors=True)  # what the client notes of its own work
        _check_files(wanted, partial, {name: sizes[name] for name in names})
        if exported:
            for path in list((partial / ONNX).iterdir()):
                path.rename(partial / path.name)
            (partial / ONNX).rmdir()
    return place


def _lacks_checkpoint(wanted: HubAddress, sizes: Mapping[str, int | None]) -> bool:
    """Whether the exported model is to be taken: there is no checkpoint, or no PyTorch to compute it.

    Raises: ModelError if there is neither.
    """
    if CONFIG in sizes and CHECKPOINT_WEIGHTS in sizes:
        return EXPORTED_FILES[0] in sizes and find_spec("torch") is None
    if EXPORTED_FILES[0] in sizes:
        return True
    pickles = sorted(name for name in sizes if name.endswith(PICKLES))
    if pickles:
        raise ModelError(
            f"refused: the weights of this repository are a pickle ({pickles[0]}), which can run code",
            where=wanted.where,
            fix=f"ask who made it for {CHECKPOINT_WEIGHTS}; `mecam push` writes it",
        )
    raise ModelError("there is no model of mecam in this repository", where=wanted.where, fix="`mecam push` makes one")


def _escapes(name: str) -> bool:
    """Whether a name would lead out of a folder, on any system."""
    path = PurePosixPath(name)
    return "\\" in name or ":" in name or "\0" in name or path.is_absolute() or ".." in path.parts or str(path) != name


def _check_sizes(wanted: HubAddress, sizes: Mapping[str, int | None], most: float) -> None:
    """Refuse what is larger than the user wants, before any of it is fetched.

    Raises: ModelError.
    """
    for name, size in sizes.items():
        if size is None:
            raise ModelError(f"the hub does not say how large {name} is", where=wanted.where)
        if name not in LARGE and size > MAX_DESCRIPTION_BYTES:
            raise ModelError(f"refused: {name} has {size:,} bytes, too many for what it is", where=wanted.where)
    total = sum(size for size in sizes.values() if size is not None)
    if total > most:
        raise ModelError(
            f"refused: this model has {total / 1e9:.1f} GB, and the limit is {most / 1e9:g} GB",
            where=wanted.where,
            fix="raise it with --max-download-gb or MECAM_MAX_DOWNLOAD_GB (in Python: max_download_gb)",
        )


def _check_files(wanted: HubAddress, folder: Path, sizes: Mapping[str, int | None]) -> None:
    """Refuse a download that is not what was listed: another file, a link, another size.

    Raises: ModelError.
    """
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    if found.keys() != sizes.keys() or any(path.is_symlink() for path in folder.rglob("*")):
        raise ModelError("the files that were fetched are not those that were listed", where=wanted.where)
    for name, path in found.items():
        if path.stat().st_size != sizes[name]:
            what = f"{name} has {path.stat().st_size:,} bytes, and {sizes[name]:,} were announced"
            raise ModelError(what, where=wanted.where, fix="try again")


def _cache(wanted: HubAddress, top: Path | None = None) -> Path:
    """The folder of a repository in the cache."""
    parts = urlsplit(hub_address())
    host = re.sub(r"[^A-Za-z0-9.-]", "_", f"{parts.netloc.rpartition('@')[2]}{parts.path}").strip(".") or "hub"
    return (top or folders()[0]) / "hub" / host / wanted.repository.replace("/", "--")


def _place(wanted: HubAddress, commit: str, *, exported: bool, top: Path | None = None) -> Path:
    """Where the files of a commit's checkpoint or exported model lie."""
    return _cache(wanted, top) / (ONNX if exported else "checkpoint") / commit


def _cached(wanted: HubAddress, commit: str, *, exported: bool) -> Path | None:
    """The folder of a commit's checkpoint or exported model, where it is here."""
    for top in folders():
        place = _place(wanted, commit, exported=exported, top=top)
        if (place / (EXPORTED if exported else CONFIG)).is_file():
            return place
    return None


def _remember(wanted: HubAddress, commit: str) -> None:
    """Note which commit a branch or tag stands for, for when there is no network."""
    if wanted.commit is None:
        refs = _cache(wanted) / "refs"
        with suppress(OSError, MecamError):
            refs.mkdir(parents=True, exist_ok=True)
            write_whole(refs / quote(wanted.revision or "main", safe=""), commit)


def _last_known(wanted: HubAddress, error: ServiceError) -> tuple[str, str]:
    """The commit of a revision, or which it last stood for, and what to tell about that.

    Raises: ServiceError if it was never asked for.
    """
    if wanted.commit is not None:
        return wanted.commit, ""
    for top in folders():
        place = _cache(wanted, top) / "refs" / quote(wanted.revision or "main", safe="")
        with suppress(MecamError):
            commit = small_text(place).strip()
            if COMMIT.fullmatch(commit):
                what = f"{wanted.revision or 'main'} is taken as commit {commit}, which it was when last asked"
                return commit, f"{error.what}: {what}"
    raise _not_here(wanted, error) from error


def _not_here(wanted: HubAddress, error: ServiceError) -> ServiceError:
    what = f"{error.what}; {wanted.revision or 'main'} is not in the cache"
    return ServiceError(what, where=wanted.where, fix="go online once, and load it")
