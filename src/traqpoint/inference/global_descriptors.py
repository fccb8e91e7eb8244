"""Global descriptors of all images of a store, each read once; nothing but these is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from traqpoint.errors import FormatError
from traqpoint.io.stores import FeatureStore
from traqpoint.retrieval.vlad import learn_projection, learn_vocabulary

SAMPLED_IMAGES = 512
"""That the vocabulary and the projection are learned from, evenly over the names."""
SAMPLED_DESCRIPTORS = 128
"""Of each of these, evenly from the best keypoint to the worst."""


def global_descriptors(features: FeatureStore, names: Sequence[str]) -> Tensor:
    """(len(names), d) float32 of unit norm, made of the local descriptors of these images alone, and the same whenever
    it is asked for; zeros for images without keypoints, or whose features cannot be read."""
    sample = [vectors for vectors in _descriptors(features, _evenly(names, SAMPLED_IMAGES)) if len(vectors)]
    if not sample:
        return torch.zeros(len(names), 1)
    vocabulary = learn_vocabulary(torch.cat([vectors[_rows(len(vectors))] for vectors in sample]))
    projection = learn_projection(torch.stack([vocabulary.describe(vectors) for vectors in sample]))
    described = (
        projection(vocabulary.describe(vectors)) if len(vectors) else torch.zeros(projection.axes.shape[1])
        for vectors in _descriptors(features, names)
    )
    return torch.stack(list(described))


def _descriptors(features: FeatureStore, names: Iterable[str]) -> Iterable[Tensor]:
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
