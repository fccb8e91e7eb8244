"""Places that a fixed camera has seen by day and by night: the same pixel is the same point in another light."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.data.source import needs
from traqpoint.errors import DataError
from traqpoint.types import Device

if TYPE_CHECKING:
    from typing_extensions import Self


class AlignedSequences(HomographySequences):
    """Homography sequences whose frames each show another photograph of one place.

    A place is named by its first photograph, which alone the teachers describe: let it be one by day.
    """

    def __init__(
        self, places: list[list[Tensor]], config: HomographyConfig | None = None, device: Device = "cpu"
    ) -> None:
        """places: pixel-aligned photographs of one size, uint8 (3, H, W), at least one of each place.

        Raises DataError, with the place's number, where sizes differ.
        """
        for number, place in enumerate(places):
            if not place or any(photo.shape != place[0].shape for photo in place):
                sizes = ", ".join(f"{photo.shape[-1]}x{photo.shape[-2]}" for photo in place) or "none"
                raise DataError(f"place {number}: aligned photographs have one size, got {sizes}")
        super().__init__([place[0] for place in places], config, device)
        self._all = HomographySequences([photo for place in places for photo in place], config, device)
        ends = torch.tensor([len(place) for place in places]).cumsum(0).tolist()
        self._members = [range(end - len(place), end) for place, end in zip(places, ends, strict=True)]

    def only(self, indices: list[int]) -> Self:
        out = super().only(indices)
        out._members = [self._members[index] for index in indices]
        return out

    def frames(self, indices: list[int], homographies: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        B, T = homographies.shape[:2]
        shown = []
        for members in (self._members[index] for index in indices):
            order = torch.randperm(len(members), generator=generator).tolist()
            shown += [members[order[t % len(members)]] for t in range(T)]
        self._all.config = self.config  # the ramp's
        images, masks = self._all.frames(shown, homographies.flatten(0, 1).unsqueeze(1), generator)
        return images.squeeze(1).unflatten(0, (B, T)), masks.squeeze(1).unflatten(0, (B, T))


@needs("aligned")
def build(data: DataConfig, device: Device) -> AlignedSequences:
    """The source ``aligned`` of a mixture: a place per folder. Raises DataError if there is no such folder."""
    root = Path(data.aligned or "")
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []
    if not folders:
        raise DataError(f"{root}: no folders of aligned photographs in this folder")
    return AlignedSequences([_one_size(load_photos(folder)) for folder in folders], data.homography, device)


def _one_size(photos: list[Tensor]) -> list[Tensor]:
    """Those of the first one's size."""
    return [photo for photo in photos if photo.shape == photos[0].shape]
