"""Weights of others under our names: the authors' checkpoints and public backbones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from torch import nn

from traqpoint.errors import WeightsError
from traqpoint.models.config import MODELS
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.tensors import Comparison, Names, fit, load_strictly, read_tensors

LICENSE = "Apache-2.0 (authors' release); backbone: DINOv3 License"

AUTHORS: Names = (
    # DINOv3 registers its final norm twice; the authors' network reads it under the second name.
    (r"^descriptor\.backbone\.norm\.", "descriptor.backbone.norms.3."),
    (r"^descriptor\.backbone\.", "descriptor.backbone.0.dino."),
    (r"^descriptor\.encoder\.layers\.", "descriptor.transformer.encoder.layers."),
    (r"^descriptor\.encoder\.level_embed", "descriptor.transformer.level_embed"),
    (r"^descriptor\.matchability_head\.([01])\.", r"descriptor.matchability_head.\1.layer."),
    (r"^descriptor\.matchability_head\.", "descriptor.matchibility_head."),
)
AUTHORS_SPARE = r"^descriptor\.backbone\.0\.dino\.norm\."

_TRANSFORMERS: Names = (
    (r"^norm\.", "layer_norm."),
    (r"^stages\.(\d)\.", r"stages.\1.layers."),
    (r"^downsample_layers\.(\d)\.", r"stages.\1.downsample_layers."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.norm\.", ".layer_norm."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
)
"""DINOv3's ConvNeXt as in Hugging Face's transformers; in Meta's own files names are ours."""
_BACKBONE_SPARE = r"^norms\.|^fc\.|num_batches_tracked$"


def convert(
    checkpoint: str | Path,
    out: str | Path,
    partial: bool = False,
    report: Callable[[Comparison], None] = lambda _: None,
) -> str:
    """Write the authors' checkpoint (`traqpoint_best.pth`, `stage1_des.pth`) as our traqpoint-b; returns its hash.

    `report` hears what does not fit before anything is written. partial: write all the same, what is missing with
    its initial values. Raises WeightsError if the file cannot be read, does not fit, or is another model's.
    """
    state, _ = read_tensors(checkpoint)
    model = TraqPoint(MODELS["traqpoint-b"])
    fitting, comparison = fit(model, state, AUTHORS, AUTHORS_SPARE)
    report(comparison)
    if not fitting:
        raise WeightsError(f"{checkpoint}: another model's weights: {comparison.summary()}")
    if comparison and not partial:
        raise WeightsError(f"{checkpoint}: does not fit traqpoint-b: {comparison.summary()}")
    model.load_state_dict(fitting, strict=not partial)
    source = Path(checkpoint)
    metadata = {"license": LICENSE, "source": source.name, "source_sha256": _file_hash(source)}
    if comparison:
        metadata["initial_values"] = f"{len(comparison.missing) + len(comparison.misshapen)} tensors"
    return model.save_pretrained(out, metadata)


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_backbone(backbone: nn.Module, path: str | Path) -> None:
    """Load a user's file into a backbone: DINOv3's ConvNeXt (Meta's .pth or transformers'), torchvision's ResNet-50.

    Raises WeightsError if the file does not fit.
    """
    state, _ = read_tensors(path)
    load_strictly(backbone, state, path, _TRANSFORMERS if "layer_norm.weight" in state else (), _BACKBONE_SPARE)
