"""MAG's shift of one token (Rahman et al., ACL 2020)."""

from collections.abc import Mapping, Sequence

from reference.layers import Weights, layer_norm, length, linear


def shifted(
    weights: Weights, state: Sequence[float], rows: Mapping[str, Sequence[float] | None], beta: float
) -> list[float]:
    """LayerNorm(Z + αH); None is a modality without a row for this token."""
    known = {m: row for m, row in rows.items() if row is not None}
    if not known:
        return layer_norm(weights, "norm", state)
    total = [float(b) for b in weights["bias"]]
    for m, row in known.items():
        gate = [max(0.0, g) for g in linear(weights, f"gates.{m}", [*state, *row])]
        value = linear(weights, f"values.{m}", row)
        total = [t + g * v for t, g, v in zip(total, gate, value, strict=True)]
    alpha = min(beta * length(state) / length(total), 1.0)
    return layer_norm(weights, "norm", [z + alpha * h for z, h in zip(state, total, strict=True)])
