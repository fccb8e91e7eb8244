"""hloc's HDF5 files of features and matches. Pixels have integer centres there: ∓0.5 in this file.

float32 keypoints come back exactly if x >= 0.25; nearer to the border, to 2⁻²⁶ px.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import torch

from traqpoint import optional
from traqpoint.errors import FormatError
from traqpoint.files import atomic
from traqpoint.geometry.pixels import colmap_from_opencv, opencv_from_colmap
from traqpoint.io.npz import OPTIONAL, check_pair_names, features_from_arrays, names_by_flat, pair_name
from traqpoint.io.stores import Format
from traqpoint.types import Features, Matches

_FEATURE_KEYS = ("keypoints", "scores", "descriptors", "image_size")


class _H5File:
    """An HDF5 file that survives being killed.

    HDF5 itself does not: a flush that is cut short can cost the whole file. So what is written goes into a copy,
    ``<file>.part``, that replaces the file when it is closed, and item by item into ``<file>.parts/``, from where the
    next writer takes what a killed one left.
    """

    _ATTRIBUTES: ClassVar[dict[str, dict[str, float]]] = {}

    def __init__(self, path: str | Path, mode: str = "a") -> None:
        """mode: "a" to append, "r" to read only. Raises FormatError if the file is missing or not HDF5."""
        self.path = Path(path)
        self._copy = self.path.with_name(self.path.name + ".part")
        self._parts = self.path.with_name(self.path.name + ".parts")
        self._writing = False
        self._num_parts = 0
        self._file: Any = None
        if mode == "r" or self.path.exists():
            self._file = self._open(self.path, "r")
        if mode == "a" and (self._file is None or self._parts.exists()):
            self._begin()

    @staticmethod
    def _open(path: Path, mode: str) -> Any:
        try:
            return optional.load("h5py").File(path, mode)
        except FileNotFoundError:
            raise FormatError(f"{path}: no such file") from None
        except OSError as error:
            raise FormatError(f"{path}: not a readable HDF5 file ({error})") from None

    def _begin(self) -> None:
        """Turn to writing: a copy of the file, and what an earlier writer left."""
        if self._writing:
            return
        self._parts.mkdir(parents=True, exist_ok=True)
        self._copy.unlink(missing_ok=True)
        if self._file is not None:
            self._file.close()
            shutil.copyfile(self.path, self._copy)
        self._file, self._writing = self._open(self._copy, "a"), True
        for part in sorted(self._parts.glob("[0-9]*.npz")):
            self._num_parts = int(part.stem) + 1
            with np.load(part) as arrays:
                self._store(str(arrays["__name__"]), {key: arrays[key] for key in arrays.files if key != "__name__"})

    def close(self) -> None:
        """Raises FormatError if the disk is full; what was finished waits in the folder of parts then."""
        try:
            self._file.close()
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise FormatError(f"{self.path}: cannot be written ({reason}); run the same command to go on") from None
        if self._writing:
            self._copy.replace(self.path)
            shutil.rmtree(self._parts)
            self._writing = False

    def clear(self) -> None:
        """Delete all groups."""
        self._begin()
        for part in self._parts.glob("*.npz"):
            part.unlink()
        for name in list(self._file):
            del self._file[name]

    def __enter__(self):
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _replace(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        self._begin()
        part = self._parts / f"{self._num_parts:08}.npz"
        self._num_parts += 1
        with atomic(part) as partial, partial.open("wb") as file:
            np.savez(file, __name__=np.array(name), **arrays)  # type: ignore[arg-type]
        self._store(name, arrays)

    def _store(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        if name in self._file:
            del self._file[name]
        group = self._file.create_group(name)
        for key, array in arrays.items():
            group.create_dataset(key, data=array)
            group[key].attrs.update(self._ATTRIBUTES.get(key, {}))

    def _group(self, name: str) -> Any:
        h5py = optional.load("h5py")
        group = self._file.get(name)
        return group if isinstance(group, h5py.Group) else None


class HlocFeatures(_H5File):
    """One group per image name: keypoints (N, 2), scores (N,), descriptors (D, N) float32, image_size; and, which hloc
    does not look at, found_at (W, H), scales and angles_deg (N,), where they are known."""

    # hloc reads a keypoint's standard deviation in pixels here; 1 is its own default.
    _ATTRIBUTES: ClassVar[dict[str, dict[str, float]]] = {"keypoints": {"uncertainty": 1.0}}

    def names(self) -> list[str]:
        found: list[str] = []
        self._file.visit(lambda name: found.append(name) if name in self else None)
        return sorted(found)

    def __contains__(self, name: str) -> bool:
        group = self._group(name)
        return group is not None and all(key in group for key in _FEATURE_KEYS)

    def read(self, name: str) -> Features:
        """Features of one image. Raises FormatError naming the file, the image and the key that is wrong."""
        group = self._group(name)
        if group is None:
            raise FormatError(f"{self.path}: no features of image {name!r}")
        for key in _FEATURE_KEYS:
            if key not in group:
                raise FormatError(f"{self.path}: {name}: key {key!r} is missing")
        try:
            arrays = {key: np.asarray(group[key]) for key in (*_FEATURE_KEYS, *OPTIONAL) if key in group}
        except OSError as error:
            raise FormatError(f"{self.path}: {name}: damaged ({error})") from None
        # hloc's own extractors may have stored half precision: readable, though their pixels are rounded already.
        for key in ("keypoints", "scores", "descriptors"):
            arrays[key] = arrays[key].astype(np.float32)
        arrays["keypoints"] = colmap_from_opencv(arrays["keypoints"])
        arrays["descriptors"] = arrays["descriptors"].T
        return features_from_arrays(arrays, f"{self.path}: {name}")

    def write(self, name: str, features: Features, image_path: str | Path | None = None) -> None:
        arrays = features.numpy()
        arrays["keypoints"] = opencv_from_colmap(arrays["keypoints"])
        arrays["descriptors"] = np.ascontiguousarray(arrays["descriptors"].T)
        self._replace(name, arrays)


class HlocMatches(_H5File):
    """One group per pair: matches0 (N,) the keypoint of image b for each of image a, or -1; matching_scores0 (N,)."""

    def check_names(self, names: Iterable[str]) -> None:
        check_pair_names(names)

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return self._holds(*pair) or self._holds(*pair[::-1])

    def __len__(self) -> int:
        return sum(len(group) for group in self._file.values())

    def pairs(self, names: Iterable[str]) -> list[tuple[str, str]]:
        known = names_by_flat(names)
        groups = ((a, b) for a, group in self._file.items() if hasattr(group, "keys") for b in group)
        return [(known[a], known[b]) for a, b in groups if a in known and b in known]

    def read(self, name_a: str, name_b: str) -> Matches:
        if self._holds(name_a, name_b):
            return self._read(name_a, name_b)
        if self._holds(name_b, name_a):
            return self._read(name_b, name_a).flipped()
        raise FormatError(f"{self.path}: no matches of {name_a!r} and {name_b!r}")

    def write(self, name_a: str, name_b: str, matches: Matches, num_keypoints_a: int | None = None) -> None:
        """num_keypoints_a: the length of hloc's arrays; without it they are as long as the matches need."""
        source, target = matches.indices.cpu().numpy().T
        # int32, not hloc's int16: that cannot name keypoint 40000.
        length = int(source.max(initial=-1)) + 1 if num_keypoints_a is None else num_keypoints_a
        matches0 = np.full(length, -1, dtype=np.int32)
        scores0 = np.zeros(length, dtype=np.float32)
        matches0[source] = target
        scores0[source] = matches.scores.detach().cpu().numpy()
        self._replace(pair_name(name_a, name_b), {"matches0": matches0, "matching_scores0": scores0})

    def _store(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        super()._store(name, arrays)
        reverse = "/".join(reversed(name.split("/")))
        if reverse != name and reverse in self._file:
            del self._file[reverse]

    def _holds(self, name_a: str, name_b: str) -> bool:
        group = self._group(pair_name(name_a, name_b))
        return group is not None and "matches0" in group and "matching_scores0" in group

    def _read(self, name_a: str, name_b: str) -> Matches:
        group = self._group(pair_name(name_a, name_b))
        target = torch.from_numpy(group["matches0"][()].astype(np.int64))
        scores = torch.from_numpy(group["matching_scores0"][()].astype(np.float32))
        if target.ndim != 1 or scores.shape != target.shape:
            raise FormatError(f"{self.path}: {name_a}, {name_b}: matches0 and matching_scores0 differ in size")
        source = (target >= 0).nonzero().squeeze(1)
        return Matches(torch.stack([source, target[source]], dim=-1), scores[source])


FORMAT = Format("hloc", HlocFeatures, HlocMatches, (".h5", ".hdf5"), "features.h5", "matches.h5")
