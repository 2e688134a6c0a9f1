"""One seed of a run: what its folder `seeds/SEED` holds beside the checkpoint."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mecam.budget import small_json
from mecam.errors import MecamError, TrainingError
from mecam.hashes import check_files, check_record, record_sha256, sha256_of
from mecam.runs.predictions import read_predictions, write_predictions
from mecam.runs.tables import write_json, write_rows
from mecam.types import SPLITS, Predictions

__all__ = ["SeedResult"]

OWN = "seed_sha256"
"""Key of `seed.json`'s own SHA-256: of all its other keys."""

AGAIN = "delete this folder and give the same command again: the seed is then trained again"


@dataclass(frozen=True)
class SeedResult:
    """One seed's outcome, which is all that its folder holds.

    Attributes:
        seed: the seed.
        score: of the best epoch on validation, larger is better.
        history: rows of `history.csv`.
        predictions: split → predictions.
        half_width: of the interval around the score of a complete utterance; None where there is none.
        facts: precision, seconds, and what `costs` measures.
    """

    seed: int
    score: float
    history: list[dict[str, float]]
    predictions: Mapping[str, Predictions]
    half_width: float | None
    facts: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write all files; `seed.json` comes last, says that the seed is done, and holds the SHA-256 of the others."""
        write_rows(folder / "history.csv", self.history)
        for split, predictions in self.predictions.items():
            write_predictions(folder / f"{split}.npz", predictions)
        known = self.score if math.isfinite(self.score) else None  # undefined for constant predictions
        content = {"seed": self.seed, "score": known, "half_width": self.half_width, "facts": dict(self.facts)}
        written = ["history.csv", *(f"{split}.npz" for split in self.predictions)]
        content["sha256"] = {name: sha256_of(folder / name) for name in written}
        write_json(folder / "seed.json", content | {OWN: record_sha256(content, OWN)})

    @classmethod
    def read(cls, folder: Path, *, details: bool = True) -> "SeedResult | None":
        """Read what `write` wrote; None if the seed is not done.

        Args:
            folder: of the seed.
            details: as of `read_predictions`.

        Raises: TrainingError if it is damaged.
        """
        if not (folder / "seed.json").is_file():
            return None
        try:
            return cls._read(folder, details)
        except MecamError as error:
            raise TrainingError(error.what, where=str(folder), fix=AGAIN) from error
        except Exception as error:  # whatever a cut or foreign file makes of JSON, CSV, NumPy and zip
            raise TrainingError(
                f"the results of a finished seed cannot be read: {type(error).__name__}: {error}",
                where=str(folder),
                fix=AGAIN,
            ) from error

    @classmethod
    def _read(cls, folder: Path, details: bool) -> "SeedResult":
        content = small_json(folder / "seed.json")
        check_record(content, OWN, folder / "seed.json", fix=AGAIN)
        check_files(folder, content.pop("sha256", {}), beside="seed.json", full=True, fix=AGAIN)
        content.pop(OWN, None)
        with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
            history = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
        splits = [split for split in SPLITS if (folder / f"{split}.npz").is_file()]
        predictions = {split: read_predictions(folder / f"{split}.npz", details=details) for split in splits}
        score = float("-inf") if content["score"] is None else content["score"]
        return cls(history=history, predictions=predictions, **{**content, "score": score})
