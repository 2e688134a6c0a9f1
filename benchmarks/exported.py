"""How far the answers of exported models are from PyTorch's: every model with its default options, untrained.

    python benchmarks/exported.py --output exported.json
    python benchmarks/exported.py mecam mult

Text through MiniLM (extra `offline`), audio of 74 and vision of 35 features. `difference` is what `mecam export`
measures on made-up utterances: complete, without each modality, with a third missing, and with nothing; of numbers
above 1 as a part of them. `mb` is the size of the folder.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mecam.config import DataConfig, decode
from mecam.data.normalise import Normaliser
from mecam.export.export import export_model
from mecam.models.checkpoint import Checkpoint
from mecam.models.inputs import Inputs
from mecam.models.registry import BUILT_IN, MODELS
from mecam.models.trained import Trained, build_model
from mecam.task import Regression
from mecam.types import FeatureSpec

INPUTS = Inputs(Regression(), {"audio": FeatureSpec(74), "vision": FeatureSpec(35)}, raw_text=True)


def untrained(name: str) -> Trained:
    """A model with its default options; one that needs labels of single modalities gets them."""
    inputs = replace(INPUTS, unimodal=("audio", "text", "vision"))
    options, data = decode(MODELS[name].config, {}, where="model"), DataConfig()
    torch.manual_seed(0)
    model, tokenizer = build_model(name, options, inputs, data)
    centre = {m: np.zeros(spec.width, np.float32) for m, spec in inputs.features.items()}
    scale = {m: np.ones(spec.width, np.float32) for m, spec in inputs.features.items()}
    normaliser = Normaliser(centre, scale, clip=data.clip).only(model.reads)
    return Trained(model.eval(), Checkpoint(name, options, inputs, data, normaliser, calibration={}), tokenizer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=BUILT_IN)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    found = {}
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            card = export_model(untrained(name), Path(folder) / name, None)
        difference, size = max(card["differences"].values()), sum(card["bytes"].values())
        found[name] = {"difference": difference, "mb": round(size / 1e6, 1)}
        print(f"{name}: {difference:.1e}, {size / 1e6:.1f} MB", flush=True)
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
