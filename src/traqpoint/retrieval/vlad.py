"""One descriptor per image, made of its local ones: VLAD (Jégou et al., CVPR 2010) with soft assignment.

No other network and no shipped vocabulary: both would have to follow every training of the local descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

WORDS = 128
SOFTNESS = 50.0
"""Inverse temperature of the cosines to the words. 64 to 256 words and 30 to 100 find the same pairs to a hundredth."""
DIMENSION = 256
"""Of a global descriptor: 1 kB. On 128 photographs the principal components cost a hundredth of the pairs."""
ITERATIONS = 12
"""Of k-means; the words of 60 000 descriptors hardly move after ten."""


@dataclass(frozen=True)
class Vocabulary:
    """Words of a collection: (K, D) float32 of unit norm, K >= 1."""

    words: Tensor

    def describe(self, descriptors: Tensor) -> Tensor:
        """Local descriptors (N, D) -> the image's VLAD (K * D,) float32 of unit norm; zeros if N is 0.

        ``v_k = Σ_i a_ik (d_i - w_k)`` with a softmax a_i over words, each v_k of unit norm (Arandjelović and Zisserman,
        CVPR 2013): one repeated texture must not speak for the image.
        """
        weights = (SOFTNESS * descriptors @ self.words.T).softmax(dim=1)
        residuals = weights.T @ descriptors - weights.sum(0).unsqueeze(1) * self.words
        return normalize(normalize(residuals, dim=1).flatten(), dim=0)


def learn_vocabulary(descriptors: Tensor, seed: int = 0) -> Vocabulary:
    """Spherical k-means of local descriptors (N, D) of unit norm, N >= 1: WORDS words, or N. The seed decides."""
    count = min(WORDS, len(descriptors))
    chosen = torch.randperm(len(descriptors), generator=torch.Generator().manual_seed(seed))[:count]
    words = descriptors[chosen]
    for _ in range(ITERATIONS):
        nearest = torch.cat([(part @ words.T).argmax(1) for part in descriptors.split(8192)])
        sums = torch.zeros_like(words).index_add_(0, nearest, descriptors)
        # A word that nobody is near to stays where it is.
        used = torch.bincount(nearest, minlength=count) > 0
        words = torch.where(used.unsqueeze(1), normalize(sums, dim=1), words)
    return Vocabulary(words)


@dataclass(frozen=True)
class Projection:
    """What images have in common is taken out, and what tells them apart is kept. mean: (M,); axes: (M, d) float32."""

    mean: Tensor
    axes: Tensor

    def __call__(self, vlad: Tensor) -> Tensor:
        """(..., M) -> (..., d) of unit norm; zeros, an image without keypoints, stay zeros."""
        known = vlad.any(dim=-1, keepdim=True)
        return normalize((vlad - self.mean) @ self.axes, dim=-1) * known


def learn_projection(vlads: Tensor) -> Projection:
    """Principal components of sampled images (S, M): DIMENSION of them, or S - 1."""
    mean = vlads.mean(0)
    centred = vlads - mean
    # Of the S x S products: S is a thousand at most, M eight thousand and more.
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    kept = min(DIMENSION, max(1, len(vlads) - 1))
    # eigh sorts upwards. Axes of no variance are directions of rounding.
    keep = values[-kept:] > 1e-6 * values[-1].clamp(min=1e-12)
    axes = normalize(centred.T @ vectors[:, -kept:][:, keep], dim=0)
    return Projection(mean, axes)
