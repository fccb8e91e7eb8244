"""One method's keypoints with another's descriptors: what tells a detector's share of a result from a descriptor's."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from traqpoint.device import resolve_device
from traqpoint.evaluation.methods.peer import Peer, PeerConfig, Raw
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.teachers.build import build_teacher

SEPARATOR = "+"


def described(
    name: str, max_keypoints: int, long_side: int | None = None, device: str = "auto", peers: Path | None = None
) -> Peer:
    """name: KEYPOINTS+DESCRIPTORS, weights of ours and a teacher (see build_teacher), whose file lies in `peers`.

    Raises WeightsError or ConfigError for what cannot be had.
    """
    ours, _, other = name.partition(SEPARATOR)
    extractor = Extractor(ours, max_keypoints=max_keypoints, device=device)
    teacher = build_teacher(other, peers, resolve_device(device))

    @torch.inference_mode()
    def found(image: Tensor) -> Raw:
        features = extractor(image)
        vectors = teacher.describe(image, features.keypoints)
        return Raw(opencv_from_colmap(features.keypoints), features.scores, vectors)

    identity = f"traqpoint {extractor.model.sha256[:16]}, {teacher.identity}"
    return Peer(PeerConfig(name, max_keypoints, long_side, identity, device), found)
