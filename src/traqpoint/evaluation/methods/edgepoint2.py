"""EdgePoint2 as a peer: its published networks, and our own way from scores to keypoints, sub-pixel included."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from traqpoint.device import resolve_device
from traqpoint.errors import WeightsError
from traqpoint.evaluation.methods.peer import Peer, PeerConfig, Raw
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.geometry.sampling import sample_descriptors
from traqpoint.image import pad_to_multiple
from traqpoint.models.detect import detect
from traqpoint.models.edgepoint2 import CHANNELS, EdgePoint2
from traqpoint.tensors import load_strictly, read_tensors

NMS_RADIUS = 2
"""Ours; the published code's own detection is another few lines."""
BORDER = 4
"""No keypoints nearer to the image's edge than this, as for ours."""


def build(
    name: str, max_keypoints: int, long_side: int | None = None, device: str = "auto", peers: Path | None = None
) -> Peer:
    """name: EdgePoint2-SIZE. peers: folder with edgepoint2-SIZE.pth, as published.

    Raises WeightsError if the file is not there, or not its weights.
    """
    size = name.removeprefix("EdgePoint2-")
    if peers is None:
        raise WeightsError(f"{name}: give the folder that holds edgepoint2-{size}.pth; no library downloads it")
    network, on = EdgePoint2(size), resolve_device(device)
    file = peers / f"edgepoint2-{size}.pth"
    load_strictly(network, read_tensors(file)[0], file)
    network = network.to(on).eval()

    @torch.inference_mode()
    def found(image: Tensor) -> Raw:
        height, width = image.shape[-2:]
        padded = pad_to_multiple(image, network.stride)[None].to(on)
        descriptors, scores = network(padded)
        valid = torch.zeros(scores.shape[0], *scores.shape[-2:], dtype=torch.bool, device=on)
        valid[:, BORDER : height - BORDER, BORDER : width - BORDER] = True
        best = detect(scores, max_keypoints, NMS_RADIUS, valid=valid)[0]
        vectors = sample_descriptors(descriptors, best.xy[None], (padded.shape[-1], padded.shape[-2]))[0]
        return Raw(opencv_from_colmap(best.xy), best.scores, vectors)

    return Peer(PeerConfig(name, max_keypoints, long_side, "traqpoint", device), found, network)


PEERS = {f"EdgePoint2-{size}": partial(build, f"EdgePoint2-{size}") for size in CHANNELS}
"""Name -> what builds it, for the registry."""
