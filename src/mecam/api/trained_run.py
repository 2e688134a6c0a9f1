"""`mecam.train` and `mecam.Run`: train a model, open what came of it."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mecam.api.arguments import AnyPath, AnyStore, Progress, checked, weights_of
from mecam.data.store import Store
from mecam.data_table import DataTable
from mecam.errors import ConfigError, TrainingError, missing_extras
from mecam.files import as_path
from mecam.notebook import notebook_html
from mecam.runs.run import RunFolder, runs_in
from mecam.runs.tables import understood

if TYPE_CHECKING:
    from mecam.prediction.predictor import Predictor

__all__ = ["Run", "train"]

StepProgress: TypeAlias = "Callable[[int, int, str], None]"
