"""`mecam.push`: a trained model to the Hugging Face hub, or to a server that speaks its protocol.

What is pushed is a fixed list of files (`mecam.export.staging`): the checkpoint of the best seed, its ONNX export, its
options, and a model card. Nothing becomes public unless that is said.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mecam.budget import small_text
from mecam.errors import ConfigError, ModelError, require
from mecam.export.staging import CARD, Staged, stage, write_card
from mecam.files import as_path
from mecam.hub import hub_address
from mecam.prediction.hub_client import HubAddress, answered, client
from mecam.prediction.hub_models import CHECKPOINT_FILES, EXPORTED_FILES
from mecam.runs.run import RunFolder

__all__ = ["Pushed", "push"]


@runtime_checkable
class OpenRun(Protocol):
    """A run that is open, as `mecam.Run`."""

    path: Path


LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True)
class Pushed:
    """What was pushed, or would be.

    Attributes:
        address: `hf:ORG/NAME@COMMIT`; without a commit where nothing was pushed.
        url: of the repository.
        private: only its owners see it.
        files: name → bytes.
        card: the model card.
        notes: what is missing, and why.
    """

    address: str
    url: str
    private: bool
    files: Mapping[str, int]
    card: str
    notes: tuple[str, ...] = ()


def push(
    run: str | Path | OpenRun,
    repository: str,
    *,
    private: bool = True,
    revision: str | None = None,
    message: str | None = None,
    licence: str | None = None,
    data_licence: str | None = None,
    onnx: bool = True,
    dry_run: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Pushed:
    """Push the best seed of a run: weights, ONNX export, options and a model card.

    The server is huggingface.co, or what `HF_ENDPOINT` names. The token is the one that `hf auth login` keeps, or
    `HF_TOKEN`.

    Args:
        run: a finished run: its folder, or a `mecam.Run`.
        repository: `hf:ORG/NAME`; it is made where there is none.
        private: only its owners may see the repository. False is needed for a public one, old or new.
        revision: the branch to push to, which is made where there is none; None is `main`.
        message: of the commit.
        licence: of the weights, as the hub knows them: `apache-2.0`, `cc-by-nc-4.0`.
        data_licence: licence and terms of the training data, in words, for the card.
        onnx: push the ONNX export too.
        dry_run: make everything, ask the hub nothing, push nothing.
        progress: called with what is being done.

    Raises: ConfigError for a wrong address or licence; TrainingError if this is no finished run; ModelError if the
        model cannot be shared, or the hub refuses; ServiceError if the hub does not answer; MissingExtraError without
        PyTorch or huggingface_hub.
    """
    tell = progress or (lambda _: None)
    wanted = HubAddress.parse(repository)
    if wanted.revision or wanted.exported:
        raise ConfigError(f"{repository!r} is no repository", fix="write hf:ORG/NAME; --revision names a branch")
    if licence and not LICENCE.fullmatch(licence.lower()):
        raise ConfigError(f"{licence!r} is no identifier of a licence", fix="apache-2.0, mit, cc-by-nc-4.0, other …")
    if not dry_run:
        require("huggingface_hub")
    opened = RunFolder.open(as_path(getattr(run, "path", run), "mecam.push: run"))
    with tempfile.TemporaryDirectory(prefix="mecam-push-") as folder:
        staged = Staged(Path(folder), opened, (licence or "").lower(), data_licence or "")
        stage(staged, onnx=onnx, tell=tell)
        card = write_card(staged, wanted, "main" if revision is None else revision)
        files = {name: (staged.folder / name).stat().st_size for name in staged.names}
        address = f"hf:{wanted.repository}"
        if not dry_run:
            tell("pushing")
            commit = _push(staged, wanted, private=private, branch=revision, message=message)
            address = wanted.at(commit)
            card = small_text(staged.folder / CARD)
            files[CARD] = (staged.folder / CARD).stat().st_size
    return Pushed(address, f"{hub_address()}/{wanted.repository}", private, files, card, tuple(staged.notes))


def _push(staged: Staged, wanted: HubAddress, *, private: bool, branch: str | None, message: str | None) -> str:
    """Push all files in one commit, and then the card, which names that commit; return it.

    Raises: ModelError, ServiceError.
    """
    api = client()
    repository, words = wanted.repository, message or f"{staged.run.model}, pushed by mecam"
    with answered(wanted.where):
        _make(api, wanted, private=private)
        if branch is not None:
            api.create_branch(repository, branch=branch, exist_ok=True)
        there = api.list_repo_files(repository, revision=branch)
        gone = [name for name in there if name in (*CHECKPOINT_FILES, *EXPORTED_FILES) and name not in staged.names]
        commit = _commit(api, staged, repository, staged.names, gone, words, branch)
        write_card(staged, wanted, commit)
        _commit(api, staged, repository, [CARD], [], f"{words}: the card names the commit", branch)
    return commit


def _make(api: Any, wanted: HubAddress, *, private: bool) -> None:
    """Make the repository, or find it as private as it is to be.

    Raises: ModelError if it is public and that was not said, or the other way round.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.model_info(wanted.repository)
    except RepositoryNotFoundError:
        api.create_repo(wanted.repository, private=private)
        info = api.model_info(wanted.repository)
    if bool(info.private) != private:
        kind, option = ("public", "--public") if private else ("private", "--private")
        raise ModelError(
            f"the repository is {kind}, and that was not said: nothing was pushed",
            where=wanted.where,
            fix=f"add {option} (in Python: private={not private}), or change the repository on its page",
        )


def _commit(
    api: Any,
    staged: Staged,
    repository: str,
    names: Iterable[str],
    gone: Iterable[str],
    words: str,
    branch: str | None,
) -> str:
    """Make one commit; return it."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = [CommitOperationAdd(name, str(staged.folder / name)) for name in names]
    operations += [CommitOperationDelete(name) for name in gone]
    made = api.create_commit(repository, operations, commit_message=words, revision=branch)
    return str(made.oid)
