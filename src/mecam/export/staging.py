"""The files of a run that may leave this machine, made anew in a folder: a fixed list, and no path of a machine in it.

Of the run folder the checkpoint of the best seed is read, and what the model card says: options, versions, metrics.
Predictions, transcripts, ids and reports stay where they are.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mecam.budget import small_json
from mecam.config import dump_yaml
from mecam.errors import DataError, MecamError, ModelError, missing_extras
from mecam.export.model_card import Shared, model_card
from mecam.hashes import sha256_of
from mecam.models.checkpoint import CONFIG, EXPORTED, TEXT_ENCODER, WEIGHTS, Checkpoint, sealed
from mecam.prediction.exported import NETWORK
from mecam.prediction.hub_client import HubAddress
from mecam.prediction.hub_models import CHECKPOINT_FILES, EXPORTED_FILES, ONNX, check_model
from mecam.runs.run import RunFolder

__all__ = ["CARD", "OPTIONS", "Staged", "stage", "write_card"]

CARD, OPTIONS = "README.md", "training.yaml"
"""The model card, and the options that the model was trained with."""

CONTENTS = {
    CONFIG: "the checkpoint: model, options, feature specs, normalisation, calibration, SHA-256 of its files",
    WEIGHTS: "the checkpoint: weights",
    f"{ONNX}/{EXPORTED}": "the exported model: the same, and how it was checked against PyTorch",
    f"{ONNX}/{NETWORK}": "the exported model: network",
    OPTIONS: "the options that it was trained with",
}
"""File → what it is, for the card."""

WORDS_OF_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt")
"""Files whose strings are pieces of words, some of which look like paths."""

PATH = re.compile(r"""(?:^|[\s=:,;"'(\[])(?:(?:/[^/\s"'`]+){2,}|~/|[A-Za-z]:\\)""")
"""A path of some machine in a text."""

PLACES = ("init", "corrupted_stores")
"""Options that name folders."""


@dataclass
class Staged:
    """Files that may be pushed.

    Attributes:
        folder: where they lie.
        run: what they are of.
        licence: of the weights.
        data_licence: of the training data, with its terms.
        names: of the files, below the folder.
        reads: the modalities that the model is given.
        notes: what is missing, and why.
    """

    folder: Path
    run: RunFolder
    licence: str = ""
    data_licence: str = ""
    names: list[str] = field(default_factory=list)
    reads: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def stage(staged: Staged, *, onnx: bool, tell: Callable[[str], None]) -> None:
    """Make all files but the card in the folder, and look at each as who loads them will.

    Raises: MecamError if the model cannot be shared.
    """
    with missing_extras():
        from mecam.models.trained import load_checkpoint
    tell("reading the checkpoint")
    _stage_checkpoint(staged)
    trained = load_checkpoint(staged.folder, allow_encoder=False)
    staged.reads = trained.reads
    check_model(staged.folder)
    options = _without_places(dict(staged.run.options))
    (staged.folder / OPTIONS).write_text(dump_yaml(options), encoding="utf-8")
    staged.names.append(OPTIONS)
    if not onnx:
        staged.notes.append("the ONNX export is left out: whoever uses the model needs PyTorch")
        return
    try:
        with missing_extras():
            from mecam.export.export import export_model
        tell("exporting")
        export_model(trained, staged.folder / ONNX, _store(staged.run), progress=tell)
        check_model(staged.folder / ONNX)
        staged.names += [name for name in EXPORTED_FILES if (staged.folder / name).is_file()]
    except ModelError as error:
        staged.notes.append(f"there is no ONNX export: {error.what}")


def _stage_checkpoint(staged: Staged) -> None:
    """Copy the checkpoint, without the places on this machine that it names; its weights stay the same bytes.

    Raises: ModelError if there is none, or it holds files that nobody would fetch; DataError if it was changed.
    """
    source = staged.run.folder / "checkpoint"
    content: dict[str, Any] = small_json(source / CONFIG)
    names = [WEIGHTS, *(name for name in content.get("sha256", {}) if name != WEIGHTS)]
    if strange := sorted(set(names) - set(CHECKPOINT_FILES)):
        raise ModelError(
            f"the checkpoint holds {strange[0]}, which no one would fetch",
            where=str(source),
            fix="share a model with a text encoder whose tokenizer `transformers` saves as tokenizer.json",
        )
    for name in names:
        target = staged.folder / name
        target.parent.mkdir(exist_ok=True)
        _copy(source / name, target, content.get("sha256", {}).get(name))
    content = {key: value for key, value in content.items() if key not in ("sha256", "config_sha256")}
    content = _without_places(content)
    whole = sealed(content, {name: sha256_of(staged.folder / name) for name in names})
    (staged.folder / CONFIG).write_text(json.dumps(whole, indent=1), encoding="utf-8")
    staged.names += [CONFIG, *names]


def _copy(source: Path, target: Path, sha256: str | None) -> None:
    """Copy a file of the checkpoint that is what was written; a JSON file of the encoder without places.

    Raises: DataError if it is another.
    """
    if sha256 is not None and sha256_of(source) != sha256:
        raise DataError(f"{source.name} was changed since it was written", where=str(source), fix="train again")
    if target.suffix == ".json" and target.name not in WORDS_OF_TOKENIZERS:
        content = small_json(source)
        cleaned = _without_places(content)
        if cleaned != content:
            target.write_text(json.dumps(cleaned, indent=2), encoding="utf-8")
            return
    with source.open("rb") as opened, target.open("wb") as out:
        while block := opened.read(1 << 20):
            out.write(block)


def _without_places(value: Any, key: str = "") -> Any:
    """The same with the name alone where a path is absolute, or names a run or a store."""
    if isinstance(value, Mapping):
        return {name: _without_places(one, str(name)) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(one, key) for one in value]
    if isinstance(value, str) and (re.match(r"/|~|\.\.?/|[A-Za-z]:[\\/]|\\\\", value) or key in PLACES):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return value


def _store(run: RunFolder) -> Any:
    """The store of the run, to check the export on; None where it is not found."""
    try:
        return run.store()
    except MecamError:
        return None


def write_card(staged: Staged, wanted: HubAddress, revision: str) -> str:
    """Write the card, which names a revision of the repository, and make sure that nothing of this machine is there."""
    content = small_json(staged.folder / CONFIG)
    exported = any(name.startswith(f"{ONNX}/") for name in staged.names)
    files = {
        name: ((staged.folder / name).stat().st_size, CONTENTS.get(name, _content(name)))
        for name in staged.names
        if name != CARD
    }
    address = wanted.at(revision)
    shared = Shared(
        address,
        files,
        _seed(staged.run),
        staged.reads,
        staged.licence,
        staged.data_licence,
        exported=address.replace("@", f"/{ONNX}@") if exported else "",
    )
    card = model_card(staged.run, Checkpoint.from_json(content), shared)
    (staged.folder / CARD).write_text(card, encoding="utf-8")
    staged.names = [CARD, *(name for name in staged.names if name != CARD)]
    _refuse_places(staged)
    return card


def _content(name: str) -> str:
    if name.startswith(f"{TEXT_ENCODER}/"):
        return "the checkpoint: sizes and tokenizer of its text encoder"
    return "the exported model: weights" if name.endswith(".data") else "the exported model: tokenizer"


def _refuse_places(staged: Staged) -> None:
    """Refuse to push a path of this machine.

    Raises: ModelError naming the file.
    """
    known = [Path.home(), Path.cwd(), staged.folder, staged.run.folder.resolve()]
    known += [Path(str(staged.run.data["path"]))] if isinstance(staged.run.data.get("path"), str) else []
    places = [str(place) for place in known if len(place.parts) > 2]  # shorter ones are words to a tokenizer
    for name in staged.names:
        text = _text(staged.folder / name)
        found = next((place for place in places if place in text or json.dumps(place)[1:-1] in text), None)
        if found is None and name.endswith((".json", ".yaml", ".md")) and not name.endswith(WORDS_OF_TOKENIZERS):
            looked = "\n".join(_strings(json.loads(text))) if name.endswith(".json") else text
            found = match[0].strip() if (match := PATH.search(looked)) else None
        if found is not None:
            raise ModelError(
                f"refused: {name} would tell a path of a machine: {found}",
                where=str(staged.run.folder),
                fix="train with names in place of paths (of encoders and features), or leave it out of --data-license",
            )


def _text(path: Path) -> str:
    """What can be read in a file: of weights their header alone."""
    with path.open("rb") as file:
        if path.name == WEIGHTS:
            return file.read(int.from_bytes(file.read(8), "little")).decode("utf-8", "replace")
        return "" if path.name.endswith(".data") else file.read().decode("utf-8", "replace")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value.keys()
        yield from _strings(list(value.values()))
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def _seed(run: RunFolder) -> int | None:
    """The seed whose checkpoint is that of the run, the best on validation; None where its folder is gone."""
    own = small_json(run.folder / "checkpoint" / CONFIG) if (run.folder / "checkpoint" / CONFIG).is_file() else None
    for seed in run.seeds:
        place = run.seed_folder(seed) / "checkpoint" / CONFIG
        if own is not None and place.is_file() and small_json(place) == own:
            return seed
    return run.seeds[0] if len(run.seeds) == 1 else None
