"""The contract of a model, run over one: what `mecam models NAME --check` does, and the tests for all of them."""

import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mecam.errors import MecamError
from mecam.testing import small
from mecam.testing.checks import EVERY_TASK, SCORES_ONLY, Case, Check

__all__ = ["EVERY_TASK", "SCORES_ONLY", "Case", "Check", "Verdict", "check_model"]


@dataclass(frozen=True)
class Verdict:
    """One promise on one task.

    Attributes:
        check: the promise, in words.
        task: `regression`, `classes` or `multilabel`.
        error: how it is broken; empty where it is kept.
    """

    check: str
    task: str
    error: str = ""


def check_model(name: str, *, progress: Callable[[int, int, str], None] | None = None) -> list[Verdict]:
    """Try a registered model on tiny data of every task; whatever it raises is a verdict.

    Args:
        name: in the registry.
        progress: called with (checks done, all, the one that begins).
    """
    plan = [(check, task) for check in EVERY_TASK for task in small.TASKS]
    plan += [(check, "regression") for check in SCORES_ONLY]
    verdicts = []
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        encoder = small.make_encoder(place / "encoder")
        stores = {
            key: small.write_store(place / key, task, small.utterances(task)) for key, task in small.TASKS.items()
        }
        for done, (check, task) in enumerate(plan):
            said = _said(check)
            if progress:
                progress(done, len(plan), said)
            folder = place / str(done)
            folder.mkdir()
            verdicts.append(Verdict(said, task, _error(check, Case(name, stores[task], encoder, folder))))
    return verdicts


def _said(check: Check) -> str:
    return check.__name__.replace("_", " ")


def _error(check: Check, case: Case) -> str:
    """What a check says when it fails, with the last line of the model's own that was at work."""
    try:
        check(case)
    except AssertionError as error:
        return str(error) or "the promise is broken"
    except MecamError as error:
        return str(error)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        library = Path(__file__).parents[2]
        own = [f for f in frames if not Path(f.filename).is_relative_to(library) and "site-packages" not in f.filename]
        place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno}: {own[-1].line})" if own else ""
        return f"{type(error).__name__}: {error}{place}"
    return ""
