"""Tracks of an image collection: connected components of the match graph, one keypoint per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from traqpoint.errors import FormatError
from traqpoint.types import Features, Matches, Tracks


def build_tracks(features: Sequence[Features], matches: Mapping[tuple[int, int], Matches]) -> Tracks:
    """Join keypoints that are matched, directly or through other images, into tracks of two or more.

    features: one per image; matches[i, j]: index pairs into images i and j. Where a component would hold two
    keypoints of one image, its matches are taken by descending score (ties: by pair, then by order) and each one that
    would join two keypoints of the same image is refused. Tracks are numbered by their first keypoint.
    Raises FormatError for matches of images or keypoints that do not exist.
    """
    counts = torch.tensor([len(f) for f in features], dtype=torch.long)
    offsets = counts.cumsum(0) - counts
    image = torch.repeat_interleave(torch.arange(len(features)), counts)
    a, b, scores = _edges(matches, counts, offsets)
    label = _components(image.numel(), a, b)
    bad = _components_with_conflict(label, image)
    if bad.numel():
        inside = torch.isin(label[a], bad)
        label[torch.isin(label, bad)] = _greedy(image, a[inside], b[inside], scores[inside], label, bad)
    return _tracks(features, label, image, offsets)


def _edges(matches: Mapping[tuple[int, int], Matches], counts: Tensor, offsets: Tensor) -> tuple[Tensor, ...]:
    parts_a, parts_b, parts_score = [], [], []
    for i, j in sorted(matches):
        if i == j or not (0 <= i < len(counts) and 0 <= j < len(counts)):
            raise FormatError(f"matches of pair ({i}, {j}): there are {len(counts)} images, and a pair needs two")
        indices = matches[i, j].indices.cpu().long()
        if bool((indices < 0).any()) or bool((indices >= torch.stack([counts[i], counts[j]])).any()):
            raise FormatError(
                f"matches of pair ({i}, {j}) name keypoints that do not exist (the images have {int(counts[i])} and "
                f"{int(counts[j])})"
            )
        parts_a.append(indices[:, 0] + offsets[i])
        parts_b.append(indices[:, 1] + offsets[j])
        parts_score.append(matches[i, j].scores.cpu().float())
    if not parts_a:
        empty = torch.empty(0, dtype=torch.long)
        return empty, empty, torch.empty(0)
    return torch.cat(parts_a), torch.cat(parts_b), torch.cat(parts_score)


def _components(size: int, a: Tensor, b: Tensor) -> Tensor:
    """(size,) the smallest node of each node's component; edges a[k] — b[k]."""
    label = torch.arange(size)
    while True:
        root_a, root_b = label[a], label[b]
        apart = root_a != root_b
        if not bool(apart.any()):
            return label
        a, b, root_a, root_b = a[apart], b[apart], root_a[apart], root_b[apart]
        label.scatter_reduce_(0, torch.maximum(root_a, root_b), torch.minimum(root_a, root_b), "amin")
        while not bool((label[label] == label).all()):
            label = label[label]


def _components_with_conflict(label: Tensor, image: Tensor) -> Tensor:
    """Labels of components with two keypoints of one image."""
    if not label.numel():
        return label
    key = label * (int(image.max()) + 1) + image
    unique, count = key.unique(return_counts=True)
    return (unique[count > 1] // (int(image.max()) + 1)).unique()


def _greedy(image: Tensor, a: Tensor, b: Tensor, scores: Tensor, label: Tensor, bad: Tensor) -> Tensor:
    """New labels for the nodes of the components `bad`, in node order: union-find by descending score.

    Sequential by nature, so it runs only where a conflict exists; elsewhere it would refuse nothing.
    """
    nodes = torch.isin(label, bad).nonzero().squeeze(1)
    order = scores.argsort(descending=True, stable=True)
    parent = {node: node for node in nodes.tolist()}
    # The images of a component as one bit each: an overlap is one AND.
    images = {node: 1 << im for node, im in zip(nodes.tolist(), image[nodes].tolist(), strict=True)}

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for x, y in zip(a[order].tolist(), b[order].tolist(), strict=True):
        low, high = sorted((find(x), find(y)))
        if low != high and not images[low] & images[high]:
            parent[high] = low
            images[low] |= images[high]
    return torch.tensor([find(node) for node in nodes.tolist()], dtype=torch.long)


def _tracks(features: Sequence[Features], label: Tensor, image: Tensor, offsets: Tensor) -> Tracks:
    _, member, size = label.unique(return_inverse=True, return_counts=True)
    node = (size[member] > 1).nonzero().squeeze(1) if label.numel() else label
    # Nodes run by image and labels by smallest node, so a stable sort by label leaves each track sorted by frame.
    node = node[label[node].argsort(stable=True)]
    track_id = label[node].unique(return_inverse=True)[1]
    frame = image[node]
    xy = torch.cat([f.keypoints.cpu().float() for f in features]) if features else torch.empty(0, 2)
    return Tracks(frame, node - offsets[frame], track_id, xy[node], len(features))
