"""TraqPoint's own files: one npz per image, per pair and per track set. Written atomically, checked when read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from traqpoint.errors import DataError, FormatError
from traqpoint.files import atomic
from traqpoint.io.stores import Format
from traqpoint.types import Features, Matches, Tracks

OPTIONAL = ("found_at", "scales", "angles_deg")
"""Keys of features that need not be known."""


def save_features(path: str | Path, features: Features) -> None:
    """Write keypoints (N, 2), scores (N,), descriptors (N, D), all float32, image_size (W, H), and OPTIONAL ones."""
    _save(Path(path), features.numpy())


def load_features(path: str | Path) -> Features:
    """Read what `save_features` wrote. Raises FormatError naming the file and the key that is wrong."""
    arrays = _load(Path(path), ("keypoints", "scores", "descriptors", "image_size"), OPTIONAL)
    return features_from_arrays(arrays, str(path))


def save_matches(path: str | Path, matches: Matches) -> None:
    """Write indices (K, 2) int64 and scores (K,) float32."""
    _save(
        Path(path),
        {
            "indices": matches.indices.cpu().numpy().astype(np.int64),
            "scores": matches.scores.detach().cpu().numpy().astype(np.float32),
        },
    )


def load_matches(path: str | Path) -> Matches:
    """Read what `save_matches` wrote. Raises FormatError naming the file and the key that is wrong."""
    arrays = _load(Path(path), ("indices", "scores"))
    _check(arrays, str(path), {"indices": np.int64, "scores": np.float32})
    with _naming(path):
        return Matches(torch.from_numpy(arrays["indices"]), torch.from_numpy(arrays["scores"]))


def save_tracks(path: str | Path, tracks: Tracks) -> None:
    """Write frame, keypoint, track_id (M,) int64, xy (M, 2) float32 and num_frames ()."""
    columns = {name: getattr(tracks, name).cpu().numpy().astype(np.int64) for name in ("frame", "keypoint", "track_id")}
    xy = tracks.xy.detach().cpu().numpy().astype(np.float32)
    _save(Path(path), {**columns, "xy": xy, "num_frames": np.asarray(tracks.num_frames, dtype=np.int64)})


def load_tracks(path: str | Path) -> Tracks:
    """Read what `save_tracks` wrote. Raises FormatError naming the file and the key that is wrong."""
    integers = ("frame", "keypoint", "track_id", "num_frames")
    arrays = _load(Path(path), (*integers, "xy"))
    _check(arrays, str(path), {**dict.fromkeys(integers, np.int64), "xy": np.float32})
    with _naming(path):
        if arrays["num_frames"].shape != ():
            raise FormatError("num_frames must be one number")
        frame, keypoint, track_id, xy = (torch.from_numpy(arrays[x]) for x in ("frame", "keypoint", "track_id", "xy"))
        return Tracks(frame, keypoint, track_id, xy, int(arrays["num_frames"]))


def features_from_arrays(arrays: Mapping[str, np.ndarray], name: str) -> Features:
    """Features from the arrays of the npz format, checked: types, shapes, finite values, unit descriptors.

    Raises FormatError that starts with `name`.
    """
    floats = ("keypoints", "scores", "descriptors", *(key for key in ("scales", "angles_deg") if key in arrays))
    _check(arrays, name, dict.fromkeys(floats, np.float32))
    sizes = {key: _image_size(arrays[key], f"{name}: {key}") for key in ("image_size", "found_at") if key in arrays}
    norms = np.linalg.norm(arrays["descriptors"], axis=-1)
    if norms.size and np.abs(norms - 1).max() > 1e-3:
        raise FormatError(f"{name}: descriptors must have unit norm, one has {norms[np.abs(norms - 1).argmax()]:.4g}")
    with _naming(name):
        values: dict[str, Any] = {key: torch.from_numpy(np.ascontiguousarray(arrays[key])) for key in floats}
        return Features(**(values | sizes))


def _image_size(size: np.ndarray, name: str) -> tuple[int, int]:
    if size.shape != (2,) or not np.issubdtype(size.dtype, np.integer) or (size <= 0).any():
        raise FormatError(f"{name} must be two positive integers (W, H), got {size.tolist()}")
    return int(size[0]), int(size[1])


class NpzFeatures:
    """A folder with one npz per image, at the image's relative path: ``db/a.jpg`` -> ``db/a.jpg.npz``."""

    def __init__(self, folder: str | Path, mode: str = "a") -> None:
        """mode: "a" to append, "r" for a folder that must exist (FormatError)."""
        self.path = _folder(folder, mode)

    def names(self) -> list[str]:
        found = (p.relative_to(self.path).as_posix().removesuffix(".npz") for p in self.path.rglob("*.npz"))
        return sorted(name for name in found if not name.split("/")[-1].startswith("."))

    def __contains__(self, name: str) -> bool:
        with suppress(FormatError):
            self.read(name)
            return True
        return False

    def read(self, name: str) -> Features:
        return load_features(self._file(name))

    def write(self, name: str, features: Features, image_path: str | Path | None = None) -> None:
        save_features(self._file(name), features)

    def clear(self) -> None:
        """Delete all npz files of the folder."""
        for name in self.names():
            self._file(name).unlink()

    def close(self) -> None:
        """Nothing is held open."""

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.npz"


class NpzMatches:
    """A folder with one npz per pair: ``db/a.jpg`` and ``b.jpg`` -> ``db-a.jpg/b.jpg.npz``."""

    def __init__(self, folder: str | Path, mode: str = "a") -> None:
        """mode: "a" to append, "r" for a folder that must exist (FormatError)."""
        self.path = _folder(folder, mode)

    def check_names(self, names: Iterable[str]) -> None:
        check_pair_names(names)

    def __contains__(self, pair: tuple[str, str]) -> bool:
        with suppress(FormatError):
            self.read(*pair)
            return True
        return False

    def pairs(self, names: Iterable[str]) -> list[tuple[str, str]]:
        known = names_by_flat(names)
        files = [(path.parent.name, path.name.removesuffix(".npz")) for path in sorted(self._files())]
        return [(known[a], known[b]) for a, b in files if a in known and b in known]

    def read(self, name_a: str, name_b: str) -> Matches:
        file, other = self._file(name_a, name_b), self._file(name_b, name_a)
        return load_matches(other).flipped() if other.is_file() and not file.is_file() else load_matches(file)

    def write(self, name_a: str, name_b: str, matches: Matches, num_keypoints_a: int | None = None) -> None:
        save_matches(self._file(name_a, name_b), matches)
        if name_a != name_b:
            self._file(name_b, name_a).unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._files())

    def clear(self) -> None:
        """Delete the npz files of all pairs."""
        for path in self._files():
            path.unlink()

    def close(self) -> None:
        """Nothing is held open."""

    def _files(self) -> list[Path]:
        return [path for path in self.path.glob("*/*.npz") if not path.name.startswith(".")]

    def _file(self, name_a: str, name_b: str) -> Path:
        return self.path / f"{pair_name(name_a, name_b)}.npz"


FORMAT = Format("npz", NpzFeatures, NpzMatches)


def pair_name(name_a: str, name_b: str) -> str:
    """hloc's name of a pair: ``a/1.jpg``, ``b/2.jpg`` -> ``a-1.jpg/b-2.jpg``."""
    return "/".join(map(_flat, (name_a, name_b)))


def check_pair_names(names: Iterable[str]) -> None:
    """Raise DataError if two images have one name in hloc's names of pairs."""
    first: dict[str, str] = {}
    for name in names:
        if first.setdefault(_flat(name), name) != name:
            raise DataError(f"{first[_flat(name)]} and {name} cannot be told apart in a file of matches")


def names_by_flat(names: Iterable[str]) -> dict[str, str]:
    """What names of pairs make of an image's name -> the name."""
    return {_flat(name): name for name in names}


def _flat(name: str) -> str:
    return name.replace("/", "-")


def _folder(folder: str | Path, mode: str) -> Path:
    if mode == "r" and not Path(folder).is_dir():
        raise FormatError(f"{folder}: no such folder")
    return Path(folder)


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with atomic(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _load(path: Path, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise FormatError(f"{path}: not an npz file")
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise FormatError(f"{path}: key {missing[0]!r} is missing")
            return {key: archive[key] for key in (*keys, *optional) if key in archive.files}
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: not a readable npz file ({error})") from None


def _check(arrays: Mapping[str, np.ndarray], name: str, dtypes: Mapping[str, type]) -> None:
    for key, dtype in dtypes.items():
        if arrays[key].dtype != dtype:
            raise FormatError(f"{name}: {key} must be {np.dtype(dtype)}, got {arrays[key].dtype}")
        if not np.isfinite(arrays[key]).all():
            raise FormatError(f"{name}: {key} holds NaN or infinity")


class _naming:
    """Put the file's name before the message of a FormatError raised inside."""

    def __init__(self, name: str | Path) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, FormatError):
            raise FormatError(f"{self.name}: {error}") from None
