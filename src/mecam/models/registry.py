"""One dictionary: name → model and its configuration; plug-ins of other packages among them.

A package adds a model through the entry point group `mecam.models`, whose value names an `Entry`:

    [project.entry-points."mecam.models"]
    my_model = "my_package.my_model:ENTRY"

Plug-ins are looked for when a name is not built in or all names are listed, and imported when they are used.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from mecam.errors import ModelError
from mecam.models.almt import Almt, AlmtConfig
from mecam.models.base import Model
from mecam.models.cenet import Cenet, CenetConfig
from mecam.models.constant import Constant, ConstantConfig
from mecam.models.ef_lstm import EfLstm, EfLstmConfig
from mecam.models.graph_mfn import GraphMfn, GraphMfnConfig
from mecam.models.late_fusion import LateFusion, LateFusionConfig
from mecam.models.lf_dnn import LfDnn, LfDnnConfig
from mecam.models.lmf import Lmf, LmfConfig
from mecam.models.lnln import Lnln, LnlnConfig
from mecam.models.mag import Mag, MagConfig
from mecam.models.mecam import Mecam, MecamConfig
from mecam.models.mecam_published import MecamPublished, MecamPublishedConfig
from mecam.models.mfn import Mfn, MfnConfig
from mecam.models.misa import Misa, MisaConfig
from mecam.models.mmim import Mmim, MmimConfig
from mecam.models.mult import Mult, MultConfig
from mecam.models.multitask import MultiTask, MultiTaskConfig
from mecam.models.self_mm import SelfMm, SelfMmConfig
from mecam.models.tetfn import Tetfn, TetfnConfig
from mecam.models.text_only import TextOnly, TextOnlyConfig
from mecam.models.tfn import Tfn, TfnConfig
from mecam.models.tfr_net import TfrNet, TfrNetConfig

__all__ = ["BUILT_IN", "GROUP", "MODELS", "Entry"]

GROUP = "mecam.models"
"""Entry point group of models in other packages."""

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A model and the dataclass of its options."""

    model: Callable[..., Model]
    config: type[Any]


BUILT_IN: dict[str, Entry] = {
    "mecam": Entry(Mecam, MecamConfig),
    "mecam_published": Entry(MecamPublished, MecamPublishedConfig),
    "late_fusion": Entry(LateFusion, LateFusionConfig),
    "text_only": Entry(TextOnly, TextOnlyConfig),
    "ef_lstm": Entry(EfLstm, EfLstmConfig),
    "lf_dnn": Entry(LfDnn, LfDnnConfig),
    "tfn": Entry(Tfn, TfnConfig),
    "lmf": Entry(Lmf, LmfConfig),
    "mfn": Entry(Mfn, MfnConfig),
    "graph_mfn": Entry(GraphMfn, GraphMfnConfig),
    "mult": Entry(Mult, MultConfig),
    "misa": Entry(Misa, MisaConfig),
    "mag": Entry(Mag, MagConfig),
    "multitask": Entry(MultiTask, MultiTaskConfig),
    "self_mm": Entry(SelfMm, SelfMmConfig),
    "mmim": Entry(Mmim, MmimConfig),
    "tfr_net": Entry(TfrNet, TfrNetConfig),
    "tetfn": Entry(Tetfn, TetfnConfig),
    "cenet": Entry(Cenet, CenetConfig),
    "almt": Entry(Almt, AlmtConfig),
    "lnln": Entry(Lnln, LnlnConfig),
    "constant": Entry(Constant, ConstantConfig),
}


class _Models(Mapping[str, Entry]):
    """Built-in models first, then those of plug-ins; a plug-in is imported when its entry is asked for."""

    def __getitem__(self, name: str) -> Entry:
        """The model of this name.

        Raises: KeyError if there is none, ModelError if it is a plug-in that cannot be loaded.
        """
        return BUILT_IN[name] if name in BUILT_IN else _loaded(_plug_ins()[name])

    def __contains__(self, name: object) -> bool:
        return name in BUILT_IN or name in _plug_ins()

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from _plug_ins()

    def __len__(self) -> int:
        return len(BUILT_IN) + len(_plug_ins())


MODELS: Mapping[str, Entry] = _Models()


@cache
def _plug_ins() -> dict[str, EntryPoint]:
    """Entry points by name; those that take a built-in model's name are left out."""
    found = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name in BUILT_IN:
            log.warning("the plug-in %s is left out: mecam has a model called %s", point.value, point.name)
        else:
            found[point.name] = point
    return found


def _loaded(point: EntryPoint) -> Entry:
    """Import a plug-in.

    Raises: ModelError, whatever goes wrong in it.
    """
    package = point.dist.name if point.dist is not None else point.value.partition(".")[0]
    fix = f"mend or uninstall the package {package}"
    try:
        entry = point.load()
    except Exception as error:
        what = f"the plug-in model {point.name!r} cannot be loaded: {type(error).__name__}: {error}"
        raise ModelError(what, where=f"{point.value}, of the package {package}", fix=fix) from error
    fits = isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], type)
    if not fits or not issubclass(entry[0], Model) or not dataclasses.is_dataclass(entry[1]):
        what = f"the plug-in model {point.name!r} is no Entry(model, config) of a Model and a dataclass"
        raise ModelError(what, where=f"{point.value}, of the package {package}", fix=fix)
    return Entry(*entry)
