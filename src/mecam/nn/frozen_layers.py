"""The lower layers of a text encoder that stay as they are: what they make of a text is computed once, and kept.

For any encoder of `transformers`: its own forward pass runs, ended after the last frozen layer, or with that layer's
result put in the place of what the frozen layers would compute. Nothing is copied from its code.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mecam.nn.encoded_texts import encoded_texts

__all__ = ["FrozenLayers"]

VERSION = 1
"""Counts up when the same weights and tokens give something else."""

TOGETHER = 8
"""Texts that are computed at once: one costs three times as much by itself."""

PROBE = ((7, 5, 3),)
"""Tokens that any vocabulary has."""


class FrozenLayers:
    """The embeddings and the first layers of an encoder, and what else of it they use.

    That is frozen too: MPNet's position bias, which all its layers share, would change what they give.

    Args:
        network: the encoder, with all its weights able to learn.
        embeddings: its embeddings.
        layers: the frozen ones, in order; at least one.

    Attributes:
        asked: known texts that were read.
        found: those of them whose hidden states were kept already.
    """

    def __init__(self, network: nn.Module, embeddings: Sequence[nn.Module], layers: Sequence[nn.Module]) -> None:
        self._network, self._layers = network, list(layers)
        self._parts = [*embeddings, *layers]
        self._beside: tuple[None, ...] | None = None
        """Of a layer that returns a tuple, what stands in it beside the hidden states, as nobody asks for it."""
        self._known: set[bytes] = set()
        self._width = int(network.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self._identity = b""
        self.asked = self.found = 0
        self._shared: list[nn.Parameter] = []
        self.freeze()
        self._shared = self._used_from_elsewhere()
        self.freeze()

    def freeze(self) -> None:
        """Let none of their weights learn; again where other weights were put in."""
        for weight in (*(weight for part in self._parts for weight in part.parameters()), *self._shared):
            weight.requires_grad_(False)

    def eval(self) -> None:
        """Keep them without dropout while the rest of the encoder learns."""
        for part in self._parts:
            part.eval()

    def remember(self, texts: Iterable[Sequence[int]]) -> None:
        """From now on, compute these texts once and keep them; others are computed whenever they come.

        Texts that would fill more than half of what is kept are left out, as they would push each other out.

        Args:
            texts: token ids of each, special ones included.
        """
        self._known.clear()
        kept = encoded_texts()
        if kept is None or not self._can_be_passed():
            return
        room = kept.limit // 2
        for ids in texts:
            room -= len(ids) * self._width * torch.float32.itemsize
            if room < 0:
                break
            self._known.add(_digest(torch.tensor(ids)))

    def weights_changed(self, *_: object) -> None:
        """To be called when other weights were loaded."""
        self._identity = b""

    @contextmanager
    def passed(self, ids: Int[Tensor, "B T"], observed: Tensor) -> Iterator[None]:
        """Inside, the encoder takes what is known of these texts instead of running its frozen layers.

        What is kept depends on the text alone, so that a training gives the same whether it is found or not. Not on a
        GPU, which would have to be waited for.

        Args:
            ids: tokens.
            observed: B × T, 1 where there is one.
        """
        states = self._looked_up(ids, observed) if self._known and ids.device.type == "cpu" else None
        if states is None:
            yield
            return
        with self._replaced_by(states):
            yield

    @contextmanager
    def _replaced_by(self, states: Float[Tensor, "B T D"]) -> Iterator[None]:
        for layer in self._layers[:-1]:
            layer.forward = self._handed_on
        self._layers[-1].forward = lambda *_, **__: self._as_result(states)
        try:
            yield
        finally:
            for layer in self._layers:
                del layer.forward  # the class's own is in force again

    def _handed_on(self, *given: Any, **named: Any) -> Any:
        """What a layer is replaced by whose result nobody reads."""
        return self._as_result(next(iter((*given, *named.values()))))

    def _as_result(self, states: Tensor) -> Any:
        return states if self._beside is None else (states, *self._beside)

    def _looked_up(self, ids: Tensor, observed: Tensor) -> Tensor | None:
        """The hidden states of all these texts; None if none is known."""
        kept = encoded_texts()
        lengths = observed.sum(dim=1).tolist()
        texts = {row: ids[row, :n] for row, n in enumerate(lengths) if observed[row, :n].all()}
        digests = {row: digest for row, text in texts.items() if (digest := _digest(text)) in self._known}
        if kept is None or not digests:
            return None
        keys = {
            row: hashlib.blake2b(self._named() + digest, digest_size=16).digest() for row, digest in digests.items()
        }
        found = kept.get([*keys.values()])
        known = {
            row: state
            for row, key in keys.items()
            if (state := self._decoded(found.get(key), lengths[row])) is not None
        }
        self.asked, self.found = self.asked + len(keys), self.found + len(known)
        made = self._made({row: texts[row] for row in keys if row not in known})
        if made:
            kept.put({keys[row]: state.contiguous().view(torch.uint8).numpy().tobytes() for row, state in made.items()})
        return self._together(known | made, ids, observed)

    def _made(self, texts: dict[int, Tensor]) -> dict[int, Tensor]:
        """The hidden states of texts, as they are kept: always `TOGETHER` of one length, filled up, without padding.

        A matrix of another shape may be multiplied in another order, which changes last digits.
        """
        made: dict[int, Tensor] = {}
        for length in sorted({len(text) for text in texts.values()}):
            alike = [row for row, text in texts.items() if len(text) == length]
            for start in range(0, len(alike), TOGETHER):
                some = alike[start : start + TOGETHER]
                filled = [*some, *some[:1] * (TOGETHER - len(some))]
                ids = torch.stack([texts[row] for row in filled])
                made |= zip(some, self._states(ids, torch.ones_like(ids)), strict=False)
        return made

    def _together(self, known: dict[int, Tensor], ids: Tensor, observed: Tensor) -> Tensor:
        """Known hidden states, and those of the other texts, as one batch."""
        some = next(iter(known.values()))
        states = some.new_zeros((*ids.shape, some.shape[-1]))  # B T D
        for row, state in known.items():
            states[row, : len(state)] = state
        if others := [row for row in range(len(ids)) if row not in known]:
            longest = int((observed[others] * torch.arange(1, ids.shape[1] + 1)).max())
            states[others, :longest] = self._states(ids[others, :longest], observed[others, :longest])
        return states

    @torch.no_grad()
    def _states(self, ids: Tensor, observed: Tensor) -> Tensor:
        return self._end_of_pass(ids, observed)

    def _end_of_pass(self, ids: Tensor, observed: Tensor) -> Tensor:
        """B × T × D, after the last frozen layer, where the encoder's forward pass ends."""

        def end(_: nn.Module, __: object, result: Any) -> None:
            several = isinstance(result, tuple)
            self._beside = (None,) * (len(result) - 1) if several else None
            raise _EndOfPassError(result[0] if several else result)

        handle = self._layers[-1].register_forward_hook(end)
        try:
            self._network(input_ids=ids, attention_mask=observed)
        except _EndOfPassError as reached:
            return reached.states
        finally:
            handle.remove()
        raise AssertionError("an encoder's forward pass goes through all its layers")

    def _used_from_elsewhere(self) -> list[nn.Parameter]:
        """The weights outside these parts that reach what they give."""
        others = [parameter for parameter in self._network.parameters() if parameter.requires_grad]
        ids = torch.tensor(PROBE)
        with torch.enable_grad(), _in_evaluation(self._network):
            states = self._end_of_pass(ids, torch.ones_like(ids))
            if not states.requires_grad:
                return []
            reached = torch.autograd.grad(states.sum(), others, allow_unused=True)
        return [parameter for parameter, gradient in zip(others, reached, strict=True) if gradient is not None]

    def _can_be_passed(self) -> bool:
        """Whether the encoder gives the same when it goes on from the kept states, and these are always the same."""
        ids = torch.tensor(PROBE, device=next(self._network.parameters()).device)
        observed = torch.ones_like(ids)
        with torch.no_grad(), torch.random.fork_rng(devices=[]), _in_evaluation(self._network):
            states = self._states(ids, observed)
            whole = self._network(input_ids=ids, attention_mask=observed).last_hidden_state
            with self._replaced_by(states):
                upper = self._network(input_ids=ids, attention_mask=observed).last_hidden_state
            self._network.train()
            self.eval()
            return torch.equal(states, self._states(ids, observed)) and torch.allclose(whole, upper, atol=1e-5)

    def _named(self) -> bytes:
        """A digest of the frozen weights, how many layers they are, and the numbers that are computed in."""
        if not self._identity:
            digest = hashlib.blake2b(digest_size=16)
            config = {k: v for k, v in self._network.config.to_dict().items() if k not in _NAMES and k[0] != "_"}  # type: ignore[union-attr, operator]
            facts = [VERSION, torch.__version__, type(self._network).__name__, len(self._layers), config]
            digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
            for weight in self._weights():
                same = (
                    weight.detach().cpu().contiguous() + 0.0
                )  # averaging weights turns a zero with a minus into one without
                digest.update(same.view(torch.uint8).numpy().data)
            self._identity = digest.digest()
        numbers = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        return self._identity + str(numbers).encode()

    def _weights(self) -> Iterator[Tensor]:
        yield from self._shared
        for part in self._parts:
            weights = dict(part.named_parameters())
            for name, weight in weights.items():
                # A low-rank update that has learned nothing adds nothing; its other half is random.
                second = weights.get(name.replace(".lora_A.", ".lora_B."), weight)
                if ".lora_" not in name or second.any():
                    yield weight

    def _decoded(self, content: bytes | None, length: int) -> Float[Tensor, "T D"] | None:
        if content is None:
            return None
        numbers = length * self._width
        kinds = {4 * numbers: torch.float32, 2 * numbers: torch.get_autocast_dtype("cpu")}
        kind = kinds.get(len(content))
        return None if kind is None else torch.frombuffer(bytearray(content), dtype=kind).view(length, -1)


_NAMES = ("architectures", "transformers_version", "dtype", "use_cache")
"""Entries of a configuration that change no number."""


class _EndOfPassError(Exception):
    """Ends a forward pass where its rest is not needed."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


@contextmanager
def _in_evaluation(network: nn.Module) -> Iterator[None]:
    """Inside, without dropout; afterwards every part is as it was."""
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _digest(ids: Int[Tensor, " T"]) -> bytes:
    return hashlib.blake2b(ids.numpy().tobytes(), digest_size=16).digest()
