"""A teacher of your own: a pretrained backbone, such as DINOv3's ConvNeXt, whose features at 1/8 say what is alike.

traqpoint train descriptor --data.photos PHOTOS --teachers.names examples/own_teacher.py:build \
    --teachers.folder FOLDER --descriptor.losses similarity 1 contrast 1 --out runs/from-dino

FOLDER holds the weights as NAME.pth, NAME one of traqpoint.models.config.BACKBONES: convnext-t.pth, resnet50.pth …
"""

from pathlib import Path

import torch
from torch import Tensor

from traqpoint.errors import WeightsError
from traqpoint.geometry.sampling import sample_descriptors
from traqpoint.image import pad_to_multiple
from traqpoint.models.backbones import Backbone, build_backbone
from traqpoint.models.config import BACKBONES
from traqpoint.models.convert import load_backbone
from traqpoint.tensors import content_hash


class Features:
    """Normalised features of one level, read bilinearly. It detects nothing: others' keypoints are described."""

    licence = "DINOv3 License"  # stands in the student's weights: say what yours is

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        self.identity = f"features at 1/8 {content_hash(backbone.state_dict())}"
        self.backbone = backbone.eval().to(device)
        self.device = device

    @torch.inference_mode()
    def describe(self, image: Tensor, xy: Tensor) -> Tensor:
        padded = pad_to_multiple(image, 32)
        eighth = self.backbone(padded.unsqueeze(0).to(self.device))[1]
        size = (padded.shape[-1], padded.shape[-2])
        return sample_descriptors(eighth, xy.unsqueeze(0).to(self.device), size)[0]


def build(name: str, folder: Path | None, device: torch.device) -> Features:
    for known in BACKBONES:
        file = (folder or Path()) / f"{known}.pth"
        if file.is_file():
            backbone = build_backbone(known)
            load_backbone(backbone, file)
            return Features(backbone, device)
    raise WeightsError(f"{folder}: holds no weights of a backbone ({', '.join(BACKBONES)})")
