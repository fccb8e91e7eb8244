"""kornia's networks and local affine features as peers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.device import resolve_device
from traqpoint.errors import ConfigError, WeightsError
from traqpoint.evaluation.methods.peer import Peer, PeerConfig, Raw
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.image import pad_to_multiple
from traqpoint.tensors import buffers_of, load_strictly, read_tensors

_MULTIPLE = 32
"""Sides that all networks take: XFeat and ALIKED want multiples of 32, DISK of 16."""

_ALIKED = ("T16", "N16", "N16rot", "N32")
_NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "XFeat": ("XFeat", "xfeat_folded.pth", {}),
    **{
        f"ALIKED-{kind}": (
            "ALIKED",
            f"aliked-{kind.lower()}.pth",
            {"model_name": f"aliked-{kind.lower()}", "detection_threshold": 0.0},
        )
        for kind in _ALIKED
    },
    "DISK": ("DISK", "disk_depth_fp16.pth", {}),
}
"""Name -> class of kornia.feature, file of weights, arguments. A threshold of 0 leaves the choice to the top-k."""

_LIMIT = {"XFeat": "top_k", "ALIKED": "max_num_keypoints"}
"""Argument of the constructor that says how many keypoints; local affine features call it num_features."""


def build(
    name: str, max_keypoints: int, long_side: int | None = None, device: str = "auto", peers: Path | None = None
) -> Peer:
    """A network of the table, or "kornia:CLASS" for any other local feature of kornia.feature.

    peers: folder with the files of weights (CLASS.pth for "kornia:CLASS"); what is not there is downloaded by kornia.
    Raises ConfigError for an unknown class, WeightsError if weights can neither be read nor downloaded.
    """
    if peers is not None and not peers.is_dir():
        raise WeightsError(f"{peers}: no such folder of weights")
    other = name.removeprefix("kornia:")
    kind, file, arguments = _NETWORKS.get(name, (other, f"{other}.pth", {}))
    config = PeerConfig(name, max_keypoints, long_side, f"kornia {optional.load('kornia').__version__}", device)
    on = resolve_device(device)
    model = _model(kind, arguments, max_keypoints, peers, file).to(on).eval()

    @torch.inference_mode()
    def detect(image: Tensor) -> Raw:
        return _run(model, pad_to_multiple(image, _MULTIPLE)[None].to(on), max_keypoints)

    return Peer(config, detect, model)


PEERS = {name: partial(build, name) for name in _NETWORKS}
"""Name -> what builds it, for the registry."""


def _model(kind: str, arguments: dict[str, Any], limit: int, folder: Path | None, file: str) -> torch.nn.Module:
    feature = optional.load("kornia").feature
    cls: Any = getattr(feature, kind, None)
    composed = isinstance(cls, type) and issubclass(cls, feature.LocalFeature) and cls is not feature.LocalFeature
    if not composed and not hasattr(cls, "from_pretrained"):
        raise ConfigError(f"{kind}: kornia.feature has no local feature of this name")
    if composed or kind in _LIMIT:
        arguments = {**arguments, _LIMIT.get(kind, "num_features"): limit}
    if folder is not None and (folder / file).is_file() and not composed:
        model = cls(**arguments)
        net = model.net if kind == "XFeat" else model
        load_strictly(net, read_tensors(folder / file)[0], folder / file, spare=buffers_of(net))
        return model
    try:
        return getattr(cls, "from_pretrained", cls)(**arguments)
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        place = "torch's cache" if composed else f"the folder of peers as {file}"
        raise WeightsError(
            f"{kind}: no weights here and none to be downloaded ({reason}); put them into {place}"
        ) from None


def _run(model: Any, image: Tensor, limit: int) -> Raw:
    """image (1, 3, H, W) through whichever of kornia's interfaces `model` has."""
    kornia, kind = optional.load("kornia"), type(model).__name__
    if isinstance(model, kornia.feature.LocalFeature):
        lafs, responses, descriptors = (part[0] for part in model(kornia.color.rgb_to_grayscale(image)))
        filled = lafs.flatten(1).abs().amax(1) > 0
        return Raw(lafs[filled, :, 2], responses[filled], descriptors[filled])
    if kind == "DeDoDe":  # the only one of kornia's with our pixel centres
        xy, scores, descriptors = (part[0] for part in model(image, n=limit))
        return Raw(opencv_from_colmap(xy), scores, descriptors)
    if kind == "XFeat":
        found = model.detectAndCompute(image)[0]
        return Raw(found["keypoints"], found["scores"], found["descriptors"])
    found = model(image, limit)[0] if kind == "DISK" else model(image)[0]
    scores = found.detection_scores if kind == "DISK" else found.keypoint_scores
    return Raw(found.keypoints, scores, found.descriptors)
