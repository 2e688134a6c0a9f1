"""Text encoders from `transformers`: the embedded MiniLM, any hub name, any folder."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mecam.errors import MissingExtraError, ModelError
from mecam.hub import CONVERT, loading_options, refusal, resolve_text_encoder
from mecam.nn.dropout import with_cheap_dropout
from mecam.nn.exporting import exporting
from mecam.nn.frozen_layers import FrozenLayers

__all__ = ["TextEncoder", "is_queued", "quiet"]

LONG = 2048
"""Tokens of a batch, padding included, above which training trades time for memory: a few texts are read at a time, and
what is inside a layer is computed again on the way back. The few longest texts of a data set decide how much memory a
run needs: MOSI's median is 12 tokens, its longest 114."""

LONG_ON_GPU = 16_384
"""The same where there is more memory than time."""


class TextEncoder(nn.Module):
    """A `transformers` encoder as a module: token ids in, one vector per token out.

    Args:
        name: see `resolve_text_encoder`.
        pretrained: load the weights; False builds the same architecture, for a checkpoint to fill.
        frozen: keep the weights as they are.
        frozen_layers: keep the embeddings and this many of the first layers as they are; 0 trains everything.
        lora: rank of the low-rank updates that are learned beside its linear layers while all its own weights stay as
            they are; 0 learns the weights themselves.

    Attributes:
        width: D of the result.
        repeats: texts come more than once in a batch, as beside their corrupted views: they are looked for while
            training on a GPU too, which has to be waited for.

    Raises: ModelError if there is no such encoder; MissingExtraError if low-rank updates are requested without `peft`.
    """

    def __init__(
        self, name: str, *, pretrained: bool = True, frozen: bool = False, frozen_layers: int = 0, lora: int = 0
    ) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel

        source = resolve_text_encoder(name)
        loading = loading_options(source)
        try:
            config = AutoConfig.from_pretrained(source, **loading)
            config.use_cache = False  # for writing texts, which nothing here does
            # A pooler on [CLS] would be a trainable part that never reaches a prediction.
            options: dict[str, Any] = {"add_pooling_layer": False} if _has_pooler(config.model_type) else {}
            # Fused attention has a slow backward pass on CPUs: half of a training step of MiniLM.
            options["attn_implementation"] = "sdpa" if torch.cuda.is_available() else "eager"
            if pretrained:
                options |= {**loading, "use_safetensors": True}
                with quiet():
                    self.network = AutoModel.from_pretrained(source, config=config, dtype=torch.float32, **options)
            else:
                options["trust_remote_code"] = False
                self.network = AutoModel.from_config(config, dtype=torch.float32, **options)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise ModelError(
                f"no text encoder {name!r} can be loaded: {refusal(source, error)}",
                fix="name a folder with a transformers model, a hub model (needs network once), or `minilm`; "
                + CONVERT,
            ) from error
        with_cheap_dropout(self.network)
        self.frozen = frozen
        self.repeats = False
        # What makes its masks by this function takes one that is made already, and does not look whether it masks
        # anything, for which a GPU would have to be waited for.
        self._takes_whole_mask = hasattr(sys.modules[type(self.network).__module__], "create_bidirectional_mask")
        self._recomputing = False
        embeddings, layers = _parts(self.network)
        kept = _first(layers, len(layers) if frozen else frozen_layers)
        self.frozen_layers = FrozenLayers(self.network, embeddings, kept) if kept else None
        if frozen:
            self.network.requires_grad_(False)
        elif lora:
            _add_low_rank_updates(self.network, lora)
            if self.frozen_layers:
                self.frozen_layers.freeze()
        self.register_load_state_dict_post_hook(TextEncoder._weights_changed)  # type: ignore[no-untyped-call]
        self.width: int = self.network.config.hidden_size

    def train(self, mode: bool = True) -> "TextEncoder":
        """Keep what is frozen in evaluation mode, without dropout."""
        super().train(mode and not self.frozen)
        if self.frozen_layers:
            self.frozen_layers.eval()
        return self

    def remember(self, texts: Iterable[Sequence[int]]) -> None:
        """Keep what the frozen layers make of these texts, for every later pass, model and process (`FrozenLayers`).

        What is read of them changes in its last digits at most. Nothing happens where no layer is frozen.

        Args:
            texts: token ids of each, special ones included.
        """
        if self.frozen_layers:
            self.frozen_layers.remember(texts)

    def _weights_changed(self, _: object) -> None:
        if self.frozen_layers:
            self.frozen_layers.weights_changed()

    def _read(self, ids: Int[Tensor, "B T"], observed: Tensor) -> Float[Tensor, "B T D"]:
        with self.frozen_layers.passed(ids, observed) if self.frozen_layers else nullcontext():
            hidden: Tensor = self.network(input_ids=ids, attention_mask=observed).last_hidden_state
        return hidden

    def _recompute(self, wanted: bool) -> None:
        """Keep only what enters each layer for the backward pass, which then computes the rest again; or all of it.

        Chen et al., 2016 (arXiv 1604.06174).
        """
        if wanted == self._recomputing or not self.network.supports_gradient_checkpointing:
            return
        self._recomputing = wanted
        # Called `gradient_checkpointing` in earlier versions of `transformers`.
        kind = "activation" if hasattr(self.network, "activation_checkpointing_enable") else "gradient"
        if wanted:
            getattr(self.network, f"{kind}_checkpointing_enable")({"use_reentrant": False})
        else:
            getattr(self.network, f"{kind}_checkpointing_disable")()

    def layer(self, number: int) -> nn.Module:
        """The part that gives the hidden states of a layer: 0 the embeddings, n the n-th layer.

        Raises: ModelError if the encoder has no such part.
        """
        embeddings, layers = _parts(self.network)
        places = [*embeddings, *_first(layers, number)]
        if not places:
            raise ModelError("this text encoder keeps its embeddings where mecam does not look for them")
        return places[-1]

    def adapted(
        self, ids: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"], adapt: Callable[[Tensor], Tensor], *, after: int
    ) -> Float[Tensor, "B T D"]:
        """Encode, with the hidden states changed on their way.

        Args:
            ids: tokens.
            mask: every row must have a token.
            adapt: B × T × D → B × T × D.
            after: see `layer`.

        Raises: ModelError if the encoder has no such layer.
        """

        def changed(_: nn.Module, __: object, output: Any) -> Any:
            if isinstance(output, tuple):
                return (adapt(output[0]), *output[1:])
            return adapt(output)

        handle = self.layer(after).register_forward_hook(changed)
        try:
            hidden: Tensor = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state  # B T D
        finally:
            handle.remove()
        return hidden.masked_fill(~mask.unsqueeze(-1), 0.0)

    def forward(self, ids: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Encode each distinct row once; masked tokens come out as zeros."""
        if exporting():
            # An absent text sees its first token of padding, as below.
            first = mask[:, :1] | ~mask.any(dim=1, keepdim=True)  # B 1
            seen = torch.cat([first, mask[:, 1:]], dim=1)
            read: Tensor = self.network(input_ids=ids, attention_mask=seen.long()).last_hidden_state  # B T D
            return read.masked_fill(~mask.unsqueeze(-1), 0.0)
        queued = self.training and is_queued(ids.device)
        where: Tensor | None = None
        distinct, observed = ids, mask.long()
        if self.repeats or not queued:
            rows, where = torch.unique(torch.cat([ids, observed], dim=1), dim=0, return_inverse=True)
            distinct, observed = rows[:, : ids.shape[1]], rows[:, ids.shape[1] :].clone()
        # An absent text has no token to attend to, which would be 0/0: let it see its padding, then blank it.
        observed[:, 0] |= (observed.sum(dim=1) == 0).long()
        if queued and self._takes_whole_mask:
            observed = observed.bool()[:, None, None, :]  # B 1 1 T
        most = LONG_ON_GPU if queued else LONG
        long = self.training and distinct.numel() > most
        self._recompute(long)
        count = max(1, most // distinct.shape[1]) if long else len(distinct)
        parts = zip(torch.split(distinct, count), torch.split(observed, count), strict=True)
        pieces = [self._read(some, seen) for some, seen in parts]
        hidden = torch.cat(pieces) if len(pieces) > 1 else pieces[0]  # U T D
        return (hidden if where is None else hidden[where]).masked_fill(~mask.unsqueeze(-1), 0.0)


def is_queued(device: torch.device) -> bool:
    """True for a device that works off what it is told while the program goes on: looking at a value waits for it."""
    return device.type != "cpu"


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, transformers draws no bars and says nothing of unused weights: the unused pooler is what we asked for."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _parts(network: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """The embeddings and the layers, wherever the architecture keeps them."""
    lists = [list(part) for part in network.modules() if isinstance(part, nn.ModuleList)]
    embeddings = [part for name, part in network.named_children() if "embed" in name]
    return embeddings, max(lists, key=len, default=[])


def _first(layers: Sequence[nn.Module], count: int) -> Sequence[nn.Module]:
    """The first `count` layers.

    Raises: ModelError if there are fewer.
    """
    if count > len(layers):
        raise ModelError(f"there are no {count} first layers: the text encoder has {len(layers)}")
    return layers[:count]


def _add_low_rank_updates(network: nn.Module, rank: int) -> None:
    """Freeze the network and put a trainable product of two thin matrices beside each of its linear layers.

    Source: Hu et al., LoRA, ICLR 2022 (arXiv 2106.09685). The update counts twice, α = 2 · rank, so that one learning
    rate serves all ranks.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError("peft") from error
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"), network)


def _has_pooler(model_type: str) -> bool:
    return model_type in {"bert", "roberta", "xlm-roberta", "camembert", "data2vec-text", "ernie"}
