"""What teachers say of photographs: once per photo, kept on disk; and their common space with the student."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.data.source import Source, taught
from traqpoint.errors import ConfigError, DataError
from traqpoint.files import atomic
from traqpoint.image import resize_long_side
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.teachers.build import build_teacher
from traqpoint.inference.teachers.teacher import Teacher, licence_of
from traqpoint.progress import Bar, no_bar
from traqpoint.training.config import TeachersConfig
from traqpoint.types import DescribedPoints, Device

_SAMPLED = 24
"""Descriptors of each photo that the PCA is made of: neighbours say the same."""


class Teachers:
    """The teachers of a configuration as one: its descriptor is theirs one after the other, over the square root of
    their number, so that a similarity is the mean of theirs.

    Raises ConfigError or WeightsError, naming it, for a teacher that cannot be had.
    """

    def __init__(self, config: TeachersConfig, cache: Path, device: Device = "cpu", bar: Bar = no_bar) -> None:
        self.config = config
        self.cache = cache
        self._bar = bar
        self._teachers: dict[str, Teacher] = {name: build_teacher(name, config.folder, device) for name in config.names}
        count = max(1, config.our_points)
        self._extractor = Extractor(config.keypoints, max_keypoints=count, long_side=None, device=str(device))
        settings = (config.our_points, config.own_points, config.random_points, config.long_side)
        identities = [teacher.identity for teacher in self._teachers.values()]
        identity = repr((identities, self._extractor.model.sha256, settings))
        self.sha256 = hashlib.sha256(identity.encode()).hexdigest()
        self._said: list[DescribedPoints] = []

    @property
    def licences(self) -> str:
        """Names and licences, for the card of the student."""
        return ", ".join(f"{name} ({licence_of(teacher)})" for name, teacher in self._teachers.items())

    def teach(self, source: Source) -> Source:
        """The source with these teachers' points in its batches. Raises ConfigError if it has no photos for them."""
        out = taught(source, self)
        if not self._said:
            raise ConfigError("no source of the mixture has photos that teachers can look at: add homography or video")
        return out

    def projection(self, file: Path, dim: int) -> Tensor | None:
        """From their descriptors to a student's of length `dim`: a PCA of what they said, as (E, dim).

        From `file` if it is there: a run that goes on must not change its target. None where the only teacher's
        descriptors are as long as the student's: then they are the target.
        """
        if len(self._teachers) == 1 and self._said[0].descriptors.shape[1] == dim:
            return None
        if not file.exists():
            with atomic(file) as partial:
                np.save(partial, principal_axes(self._said, dim).numpy())
        try:
            return torch.from_numpy(np.load(file))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: not a projection of this run ({error}); delete the run's folder") from None

    def __call__(self, photos: Sequence[Tensor]) -> list[DescribedPoints | None]:
        """uint8 (3, H, W) -> points in their pixels and unit descriptors, float16; None where a teacher fails.

        Photos that are left out are counted in one warning. Raises DataError if none is left, ConfigError for a
        teacher whose answer is no descriptors.
        """
        out: list[DescribedPoints | None] = []
        failed: list[str] = []
        with self._bar("teachers") as progress:
            for index, photo in enumerate(photos):
                try:
                    out.append(self._once(photo.cpu()))
                except (ConfigError, OSError):
                    raise
                except Exception as error:  # whatever a user's teacher raises
                    failed.append(f"photo {index} ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})")
                    out.append(None)
                progress(index + 1, len(photos))
        if len(failed) == len(photos):
            raise DataError(f"the teachers can describe none of {len(photos)} photos, the first: {failed[0]}")
        if failed:
            warnings.warn(f"the teachers left out {len(failed)} photos, the first: {failed[0]}", stacklevel=2)
        self._said += [points for points in out if points is not None]
        return out

    def _once(self, photo: Tensor) -> DescribedPoints:
        """From the cache, or described now and put there."""
        key = hashlib.sha256(f"{self.sha256} {tuple(photo.shape)}".encode())
        key.update(photo.contiguous().numpy().tobytes())
        file = self.cache / f"{key.hexdigest()}.npz"
        if (kept := _kept(file)) is not None:
            return kept
        points = self._described(photo, int(key.hexdigest()[:15], 16))
        with atomic(file) as partial:
            np.savez(partial, xy=points.xy.numpy(), descriptors=points.descriptors.numpy())
        return points

    def _described(self, photo: Tensor, seed: int) -> DescribedPoints:
        image = resize_long_side(photo.float() / 255, self.config.long_side)
        size = torch.tensor([image.shape[-1], image.shape[-2]])
        xy = self._points(image, torch.Generator().manual_seed(seed))
        parts = [self._answer(name, image, xy) for name in self._teachers]
        descriptors = torch.cat(parts, dim=1) / len(parts) ** 0.5
        scale = torch.tensor([photo.shape[-1], photo.shape[-2]]) / size
        return DescribedPoints(xy * scale, descriptors.half())

    def _points(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Keypoints of ours, keypoints of the teachers, and random points: (N, 2)."""
        config = self.config
        points = [self._extractor(image).keypoints[: config.our_points]]
        detecting = [teacher for teacher in self._teachers.values() if hasattr(teacher, "keypoints")]
        points += [teacher.keypoints(image, config.own_points // len(detecting)) for teacher in detecting]
        size = torch.tensor([image.shape[-1], image.shape[-2]])
        return torch.cat([*points, torch.rand(config.random_points, 2, generator=generator) * size])

    def _answer(self, name: str, image: Tensor, xy: Tensor) -> Tensor:
        found = self._teachers[name].describe(image, xy)
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(xy):
            what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(f"{name}: describes {len(xy)} points by {what} instead of ({len(xy)}, D) descriptors")
        if not bool(torch.isfinite(found).all()):
            raise DataError(f"{name} gives NaN or infinity")
        return F.normalize(found.detach().float().cpu(), dim=-1)


def _kept(file: Path) -> DescribedPoints | None:
    """What the cache holds; None if that is nothing, or damaged: then it is made anew."""
    try:
        with np.load(file) as kept:
            return DescribedPoints(torch.from_numpy(kept["xy"]), torch.from_numpy(kept["descriptors"]))
    except Exception:  # numpy and zipfile have many of their own
        return None


def principal_axes(described: Sequence[DescribedPoints], dim: int) -> Tensor:
    """PCA of the teachers' descriptors, not centred: (E, dim), orthonormal columns, or rows where E < dim.

    It keeps the similarities, exactly where dim reaches E. Each axis points to where its largest entry is positive, so
    that the same descriptors give the same target.
    """
    sample = torch.cat([points.descriptors[:: max(1, len(points.xy) // _SAMPLED)].double() for points in described])
    axes = torch.linalg.eigh(sample.T @ sample)[1].flip(1)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    axes = (axes * largest.sign())[:, :dim].float()
    return F.pad(axes, (0, dim - axes.shape[1]))
