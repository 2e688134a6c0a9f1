"""The Hugging Face hub as mecam asks it: addresses of models, the client with its server, and one kind of error."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from mecam.errors import ConfigError, MecamError, ModelError, ServiceError, require
from mecam.hub import hub_address
from mecam.version import __version__

__all__ = ["COMMIT", "HubAddress", "answered", "client"]

ADDRESS = re.compile(
    r"hf:(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?P<onnx>/onnx)?(?:@(?P<revision>[A-Za-z0-9][\w./+-]*))?",
    re.ASCII,
)
COMMIT = re.compile(r"[0-9a-f]{40}")
FORM = "write hf:ORG/NAME, hf:ORG/NAME@REVISION (a branch, tag or commit), or hf:ORG/NAME/onnx for its exported model"


@dataclass(frozen=True)
class HubAddress:
    """Where on the hub a model is.

    Attributes:
        repository: `ORG/NAME`.
        revision: a branch, a tag or a commit; None is `main`.
        exported: its exported model is meant.
    """

    repository: str
    revision: str | None = None
    exported: bool = False

    @classmethod
    def parse(cls, address: str | Path) -> "HubAddress":
        """Read `hf:ORG/NAME@REVISION`.

        Raises: ConfigError if it is none.
        """
        text = str(address).replace("\\", "/")  # a path of Windows, where the command line made one of it
        found = ADDRESS.fullmatch(text)
        if found is None or ".." in text or "--" in found["repository"] or text.endswith(("/", ".git")):
            raise ConfigError(f"{text!r} names no model on the hub", fix=FORM)
        return cls(found["repository"], found["revision"], found["onnx"] is not None)

    @property
    def commit(self) -> str | None:
        """The commit, where the revision is one."""
        return self.revision if self.revision and COMMIT.fullmatch(self.revision) else None

    def at(self, commit: str) -> str:
        """The address with the commit in place of the revision."""
        return f"hf:{self.repository}{'/onnx' if self.exported else ''}@{commit}"

    @property
    def where(self) -> str:
        """As errors name it: the repository and its server."""
        return f"{self.repository} on {hub_address()}"


def client() -> Any:
    """The client of the hub (`huggingface_hub.HfApi`), with the server that `HF_ENDPOINT` names now.

    Raises: MissingExtraError without huggingface_hub.
    """
    require("huggingface_hub")
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub_address(), library_name="mecam", library_version=__version__)


@contextmanager
def answered(where: str) -> Iterator[None]:
    """Turn what the client of the hub raises into one error, and let it draw no progress bars.

    Args:
        where: the repository.

    Raises: ModelError if the hub says no; ServiceError if it does not answer.
    """
    from huggingface_hub import errors

    token = "check the name; a private repository needs a token: `hf auth login`, or HF_TOKEN"
    try:
        with _without_bars():
            yield
    except MecamError:
        raise
    except errors.GatedRepoError as error:
        raise ModelError("access to this repository must be asked for on its page", where=where, fix=token) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError("there is no such repository, or you may not see it", where=where, fix=token) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError("there is no such revision", where=where, fix="give a branch, tag or commit of it") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)  # None: it did not come so far
        kind = ServiceError if status is None or status >= 500 or status == 429 else ModelError
        what = "the hub cannot be used" if status is None else f"the hub answers {status}"
        raise kind(f"{what}: {_first_line(error)}", where=where, fix=token) from error
    except Exception as error:  # of whichever library it asks the network with, or of a full disk
        raise ServiceError(f"the hub cannot be used: {_first_line(error)}", where=where) from error


def _first_line(error: BaseException) -> str:
    """What an error says, and the one that it is from, where that says something else."""
    said = str(error).strip().partition("\n")[0][:300] or type(error).__name__
    cause = "" if error.__cause__ is None else str(error.__cause__).strip().partition("\n")[0][:300]
    return f"{said} ({cause})" if cause and cause not in said else said


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without the progress bars of the client, which a library does not print."""
    utils: Any = import_module("huggingface_hub.utils")  # which does not say that it exports them

    before = utils.are_progress_bars_disabled()
    if not before:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            utils.enable_progress_bars()
