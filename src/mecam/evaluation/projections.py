"""Embeddings in two dimensions, and how well an utterance's neighbours tell its label, which no projection changes."""

from typing import Literal, TypeAlias

import numpy as np

from mecam.evaluation.sums import Array
from mecam.task import Task

__all__ = ["Projection", "neighbours_agree", "project"]

Projection: TypeAlias = Literal["pca", "tsne"]

NEIGHBOURS = 10
"""How many nearest utterances are asked for their label."""

MAX_UTTERANCES = 1500
"""Of more than these, an even part is looked at."""


def project(embeddings: Array, direction: Array, projection: Projection = "pca") -> Array:
    """Project N × D embeddings to the plane: N × 2.

    Args:
        embeddings: any scale.
        direction: N values, such as the truth; each axis is turned so that they grow along it, which makes
            pictures of different runs comparable.
        projection: `pca` keeps distances as well as a plane can; `tsne` keeps neighbours together, and distances
            between its clouds mean nothing (van der Maaten and Hinton, 2008).
    """
    centred = embeddings - embeddings.mean(axis=0)
    if projection == "tsne" and len(centred) > NEIGHBOURS:
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(centred) - 1) / 3)
        flat = np.asarray(TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(centred), np.float64)
    else:
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        flat = np.zeros((len(centred), 2))
        flat[:, : min(2, len(axes))] = centred @ axes[:2].T
    for axis in (0, 1):
        if np.dot(flat[:, axis], direction - direction.mean()) < 0:
            flat[:, axis] *= -1
    return flat


def neighbours_agree(embeddings: Array, truth: Array, task: Task) -> float | None:
    """How well the truth of an utterance follows from its ten nearest neighbours in the full space.

    Args:
        embeddings: N × D; of very many, an even part is looked at.
        truth: N scores or class indices.
        task: of scores or classes.

    Returns: for scores, the correlation of each score with the mean of its neighbours; for classes, the share of
        utterances whose neighbours' most frequent class is their own. None for too few utterances, or where it is
        undefined.
    """
    if len(truth) <= NEIGHBOURS + 1:
        return None
    if len(truth) > MAX_UTTERANCES:
        chosen = np.unique(np.linspace(0, len(truth) - 1, MAX_UTTERANCES).astype(np.int64))
        embeddings, truth = embeddings[chosen], truth[chosen]
    squares = (embeddings**2).sum(axis=1)
    distance = squares[:, None] + squares[None, :] - 2 * embeddings @ embeddings.T
    np.fill_diagonal(distance, np.inf)
    nearest = truth[np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]]  # N K
    if task.is_score:
        guess = nearest.mean(axis=1)
        return float(np.corrcoef(guess, truth)[0, 1]) if np.ptp(guess) and np.ptp(truth) else None
    votes = np.stack([(nearest == index).sum(axis=1) for index in range(len(task.names))], axis=1)
    return float((votes.argmax(axis=1) == truth).mean())
