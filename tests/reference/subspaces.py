"""MISA's losses (Hazarika et al., ACM MM 2020), element by element."""

from collections.abc import Sequence

from reference.layers import length

Rows = Sequence[Sequence[float]]


def column_means(rows: Rows) -> list[float]:
    """E(X)."""
    return [sum(row[d] for row in rows) / len(rows) for d in range(len(rows[0]))]


def moments(rows: Rows, power: int) -> list[float]:
    """C_k(X) = E((x − E(X))^k)."""
    means = column_means(rows)
    return [sum((row[d] - means[d]) ** power for row in rows) / len(rows) for d in range(len(means))]


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """‖a − b‖₂."""
    return length([x - y for x, y in zip(a, b, strict=True)])


def cmd(first: Rows, second: Rows, order: int) -> float:
    """‖E(X) − E(Y)‖ + Σ_{k=2}^{K} ‖C_k(X) − C_k(Y)‖, on an interval of width 1."""
    if not len(first) or not len(second):
        return 0.0
    total = distance(column_means(first), column_means(second))
    return total + sum(distance(moments(first, k), moments(second, k)) for k in range(2, order + 1))


def orthogonality(first: Rows, second: Rows) -> float:
    """‖XᵀY‖²_F / (D E) with rows centred and of unit length."""
    if not len(first):
        return 0.0
    x, y = _unit(first), _unit(second)
    total = 0.0
    for i in range(len(x[0])):
        for j in range(len(y[0])):
            total += sum(x[n][i] * y[n][j] for n in range(len(x))) ** 2
    return total / (len(x[0]) * len(y[0]))


def reconstruction(vectors: Rows, rebuilt: Rows) -> float:
    """Mean over utterances of ‖u − û‖² / d_h."""
    gaps = [distance(u, v) ** 2 / len(u) for u, v in zip(vectors, rebuilt, strict=True)]
    return sum(gaps) / len(gaps) if gaps else 0.0


def _unit(rows: Rows) -> list[list[float]]:
    means = column_means(rows)
    centred = [[v - m for v, m in zip(row, means, strict=True)] for row in rows]
    return [[v / max(length(row), 1e-6) for v in row] for row in centred]
