"""What the teachers have in common: an image goes through the network once, and points are read from what came out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from traqpoint.errors import WeightsError
from traqpoint.geometry.pixels import inside
from traqpoint.geometry.sampling import sample_descriptors
from traqpoint.image import pad_to_multiple, picture_size
from traqpoint.models.detect import maxima
from traqpoint.models.layers import frozen
from traqpoint.tensors import buffers_of, content_hash, load_strictly, read_tensors
from traqpoint.types import Device

BORDER_PX = 4
"""No keypoints this near to the border: half of what is around them is missing."""
NMS_RADIUS = 2


class NetworkTeacher(ABC):
    """A network, frozen. A subclass says what comes out of it; its dense descriptors are read bilinearly."""

    licence: str
    multiple = 32
    """Sides of images are extended to multiples of this."""

    def __init__(self, name: str, network: nn.Module, device: Device = "cpu") -> None:
        self.identity = f"{name} {content_hash(network.state_dict())}"
        self.network = frozen(network.eval()).to(device)
        self._device = torch.device(device)
        self._seen: tuple[Tensor, tuple[Tensor, ...]] | None = None

    @abstractmethod
    def maps(self, image: Tensor, size: tuple[int, int]) -> Sequence[Tensor]:
        """image (1, 3, H, W), sides multiples of `multiple` -> scores (1, 1, H, W), and descriptors (1, D, h, w).

        size: (W, H) of the part that is no extension, for networks that measure their image.
        """

    @torch.inference_mode()
    def describe(self, image: Tensor, xy: Tensor) -> Tensor:
        """See Teacher."""
        height, width = (-(-side // self.multiple) * self.multiple for side in image.shape[-2:])
        return self.at(self._looked_at(image)[1:], xy.to(self._device), (width, height)).float().cpu()

    def at(self, maps: Sequence[Tensor], xy: Tensor, image_size: tuple[int, int]) -> Tensor:
        """(N, D) of unit norm at pixels xy (N, 2) of the extended image, from its maps without the scores."""
        return sample_descriptors(maps[0], xy.unsqueeze(0).to(maps[0].dtype), image_size)[0]

    @torch.inference_mode()
    def keypoints(self, image: Tensor, count: int) -> Tensor:
        """Centres (N, 2) of the pixels with the highest scores of their surroundings, at most `count`."""
        height, width = image.shape[-2:]
        scores = self._looked_at(image)[0][..., :height, :width].float()
        _, y, x = maxima(scores, NMS_RADIUS)
        xy = torch.stack([x, y], dim=-1) + 0.5
        away = inside(xy, width, height, BORDER_PX)
        order = scores[0, 0, y, x].masked_fill(~away, -torch.inf).argsort(descending=True, stable=True)
        return xy[order[: min(count, int(away.sum()))]].float().cpu()

    def _looked_at(self, image: Tensor) -> tuple[Tensor, ...]:
        """The maps, kept until another image comes."""
        if self._seen is None or self._seen[0] is not image:
            padded = pad_to_multiple(image, self.multiple).unsqueeze(0).to(self._device)
            self._seen = (image, tuple(self.maps(padded, picture_size(image))))
        return self._seen[1]


def load_teacher(network: nn.Module, name: str, folder: Path | None, file: str) -> None:
    """Load a published file of weights, as float32. Raises WeightsError naming a file that is missing or another's."""
    path = (folder or Path()) / file
    if not path.is_file():
        where = f"{path}: no such file" if folder else f"{file}: the teachers' folder is not given"
        raise WeightsError(f"{where}; the teacher {name} needs these weights in the folder --teachers.folder")
    state = {key: value.float() if value.is_floating_point() else value for key, value in read_tensors(path)[0].items()}
    load_strictly(network, state, path, spare=buffers_of(network))
