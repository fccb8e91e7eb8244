"""Global descriptors of all images of a store, each read once; nothing but these is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from traqpoint.errors import FormatError
from traqpoint.io.stores import FeatureReader
from traqpoint.retrieval.vlad import learn_projection, learn_vocabulary

Describer = Callable[[Tensor], Tensor]

SAMPLED_IMAGES = 512
"""That the vocabulary and the projection are learned from, evenly over the names."""
SAMPLED_DESCRIPTORS = 128
"""Of each of these, evenly from the best keypoint to the worst."""


def global_descriptors(features: FeatureReader, names: Sequence[str]) -> Tensor:
    """(len(names), d) float32 of unit norm, made of the local descriptors of these images alone, and the same whenever
    it is asked for; zeros for images without keypoints, or whose features cannot be read."""
    return describe_all(features, names, learn_describer(features, names))


def most_alike(queries: FeatureReader, asked: Sequence[str], known: FeatureReader, names: Sequence[str]) -> Tensor:
    """For each image asked for, the others by their place in `names`, the most alike first: (A, N) int64.

    Vocabulary and components are learned from `names` alone, so a query finds the same whoever is asked for with it.
    """
    describer = learn_describer(known, names)
    likeness = describe_all(queries, asked, describer) @ describe_all(known, names, describer).T
    return likeness.argsort(dim=1, descending=True, stable=True)


def learn_describer(features: FeatureReader, names: Sequence[str]) -> Describer:
    """From local descriptors (N, D) to a global one (d,), learned from a sample of these images."""
    sample = [vectors for vectors in _descriptors(features, _evenly(names, SAMPLED_IMAGES)) if len(vectors)]
    if not sample:
        return lambda vectors: torch.zeros(1)
    vocabulary = learn_vocabulary(torch.cat([vectors[_rows(len(vectors))] for vectors in sample]))
    projection = learn_projection(torch.stack([vocabulary.describe(vectors) for vectors in sample]))
    nothing = torch.zeros(projection.axes.shape[1])
    return lambda vectors: projection(vocabulary.describe(vectors)) if len(vectors) else nothing


def describe_all(features: FeatureReader, names: Sequence[str], describer: Describer) -> Tensor:
    """(len(names), d), zeros for images without keypoints, or whose features cannot be read."""
    return torch.stack([describer(vectors) for vectors in _descriptors(features, names)])


def _descriptors(features: FeatureReader, names: Iterable[str]) -> Iterable[Tensor]:
    for name in names:
        try:
            yield features.read(name).descriptors
        except FormatError:  # told when the image is to be matched
            yield torch.empty(0, 1)


def _evenly(names: Sequence[str], count: int) -> list[str]:
    return [names[i] for i in _indices(len(names), count)]


def _rows(count: int) -> list[int]:
    return _indices(count, SAMPLED_DESCRIPTORS)


def _indices(size: int, count: int) -> list[int]:
    count = min(size, count)
    return [i * size // count for i in range(count)]
