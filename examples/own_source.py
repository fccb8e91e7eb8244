"""A data set of your own: a folder of screenshots that scroll sideways, so that every correspondence is known.

traqpoint train descriptor --out runs/d --data.mixture examples/own_source.py:Scrolling 1 --data.own folder SHOTS
"""

import torch

from traqpoint.data.photos import load_photos
from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.types import SequenceBatch


class Scrolling:
    """Made by ``Scrolling(data, device)``; `data` is the run's DataConfig."""

    def __init__(self, data, device, side=96, frames=3):
        self.shots = load_photos(data.option("folder"), min_side=2 * side)
        self.device, self.side, self.frames = device, side, frames

    def sample(self, batch_size, generator):
        """B sequences of T frames: squares cut out of one screenshot, and where the page is in each of them."""
        images, frame_from_page = [], torch.eye(3).repeat(batch_size, self.frames, 1, 1)
        for b in range(batch_size):
            shot = self.shots[int(torch.randint(len(self.shots), (), generator=generator))]
            left = torch.randint(shot.shape[2] - self.side, (self.frames,), generator=generator)
            images.append(torch.stack([shot[:, : self.side, x : x + self.side] for x in left.tolist()]))
            frame_from_page[b, :, 0, 2] = -left
        shown = torch.ones(batch_size, self.frames, self.side, self.side, dtype=torch.bool)
        return SequenceBatch(torch.stack(images) / 255, HomographyGeometry(frame_from_page, shown)).to(self.device)
