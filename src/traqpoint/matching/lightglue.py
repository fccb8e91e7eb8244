"""LightGlue (arXiv 2306.13643), kornia's implementation, for our features."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import ConfigError, FormatError, WeightsError
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.matching.config import LightGlueConfig, MatcherConfig
from traqpoint.tensors import load_strictly, read_tensors
from traqpoint.types import Device, Features, Matches

_DERIVED = "confidence_thresholds"
"""A buffer of kornia's that follows from the number of layers."""


class LightGlue:
    """Matches two images' features with weights trained for these very descriptors.

    weights: a state dict as LightGlue's authors or kornia publish them (.pth, .safetensors); widths, heads and layers
    are read off it. min_score: smallest match probability (authors: 0.1). device: by default where the features are.
    Nothing is ever downloaded. Raises WeightsError if the file is missing or is not LightGlue's.
    """

    def __init__(self, weights: str | Path, min_score: float = 0.1, device: Device | None = None) -> None:
        LightGlueConfig(min_score=min_score)  # checks the range
        self.path, self.device = Path(weights), device
        state = _state(self.path)
        rotary, attention = state.get("posenc.Wr.weight"), state.get("transformers.0.self_attn.Wqkv.weight")
        if rotary is None or attention is None:
            raise WeightsError(f"{self.path}: no LightGlue weights (no posenc.Wr.weight, no self_attn.Wqkv.weight)")
        if rotary.shape[1] != 2:
            raise WeightsError(f"{self.path}: LightGlue for keypoints with scale and orientation, which ours have not")
        width = attention.shape[1]
        projection = state.get("input_proj.weight")
        self.descriptor_dim = width if projection is None else projection.shape[1]
        stops_early = any(key.startswith("token_confidence.") for key in state)
        model = optional.load("kornia").feature.LightGlue(
            None,
            input_dim=self.descriptor_dim,
            descriptor_dim=width,
            n_layers=1 + max(int(m[1]) for key in state if (m := re.match(r"transformers\.(\d+)\.", key))),
            num_heads=width // (2 * rotary.shape[0]),
            depth_confidence=0.95 if stops_early else -1,
            filter_threshold=min_score,
        )
        load_strictly(model, state, self.path, spare=_DERIVED if stops_early else f"{_DERIVED}|token_confidence")
        self.model = model.eval()
        # Layer norms begin with factors of 1 and offsets of 0, and training moves them all.
        if all(bool((p == key.endswith("weight")).all()) for key, p in state.items() if ".ffn.1." in key):
            warnings.warn(f"{self.path}: LightGlue that was never trained matches at random", stacklevel=2)

    @torch.inference_mode()
    def __call__(self, features_a: Features, features_b: Features) -> Matches:
        """Matches with LightGlue's probability as score, on the features' device.

        Raises FormatError if the descriptors are not of the size that the weights were trained for.
        """
        for features in (features_a, features_b):
            size = features.descriptors.shape[1]
            if size != self.descriptor_dim:
                raise FormatError(
                    f"{self.path}: this LightGlue matches descriptors of {self.descriptor_dim} dimensions, got {size}: "
                    "use weights trained for these features"
                )
        device = features_a.keypoints.device
        if not len(features_a) or not len(features_b):
            return Matches(torch.empty(0, 2, dtype=torch.long, device=device), torch.empty(0, device=device))
        on = device if self.device is None else torch.device(self.device)
        self.model.to(on)
        out = self.model({"image0": _input(features_a, on), "image1": _input(features_b, on)})
        return Matches(out["matches"][0].to(device), out["scores"][0].float().to(device))


def build(config: MatcherConfig) -> LightGlue:
    """Raises ConfigError if the configuration names no weights: untrained ones would match at random."""
    if config.lightglue.weights is None:
        raise ConfigError(
            "the matcher lightglue needs weights that were trained for these features: --matcher.lightglue.weights FILE"
        )
    return LightGlue(config.lightglue.weights, config.lightglue.min_score)


def _input(features: Features, device: torch.device) -> dict[str, Tensor]:
    # LightGlue normalises by the image's size; its published weights saw keypoints at integer pixel centres.
    return {
        "keypoints": opencv_from_colmap(features.keypoints).clamp(min=0)[None].to(device),
        "descriptors": features.descriptors[None].float().to(device),
        "image_size": torch.tensor([features.image_size], device=device),
    }


def _state(path: Path) -> dict[str, Tensor]:
    """State dict under kornia's names."""
    state = {re.sub(r"^matcher\.", "", key): value for key, value in read_tensors(path)[0].items()}
    # The authors' first release numbers the two attentions of a layer separately.
    return {re.sub(r"^(self|cross)_attn\.(\d+)\.", r"transformers.\2.\1_attn.", k): v for k, v in state.items()}
