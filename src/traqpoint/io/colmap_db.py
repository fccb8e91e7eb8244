"""COLMAP databases, written by pycolmap itself so that COLMAP opens them. Pixels are COLMAP's: nothing to convert.

Descriptors are kept too, as the bytes of their float32 values under the type UNDEFINED, so that a database alone is
enough to match; or rounded, as COLMAP's own matchers want them. A database has no place for keypoint scores; they come
back as NaN, the order still best first.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import torch

from traqpoint import optional
from traqpoint.errors import FormatError
from traqpoint.geometry.camera import Camera
from traqpoint.io.colmap_camera import pycolmap_camera
from traqpoint.io.stores import Format
from traqpoint.types import Features, Matches

_ROOM_BYTES = 16 << 20
"""SQLite's log, and what it copies out of that, beside the rows themselves."""
_SIFT_NORM, _SIFT_DIMENSION = 512, 128
"""Of COLMAP's SIFT descriptors, which are bytes."""

DescriptorType = Literal["UNDEFINED", "SIFT"]
"""COLMAP's name of what descriptors are."""


class ColmapDatabase:
    """Features and matches of a database; every image and every pair is one transaction."""

    def __init__(self, path: str | Path, mode: str = "a") -> None:
        """mode: "a" to append, "r" for a database that must exist. Raises FormatError if it is not a database."""
        pycolmap = optional.load("pycolmap")
        self.path = Path(path)
        self._rigs: dict[tuple, tuple[int, int]] = {}
        if self.path.is_file():
            with self.path.open("rb") as file:
                if file.read(16) not in (b"", b"SQLite format 3\0"):
                    raise FormatError(f"{self.path}: not a COLMAP database")
        elif mode == "r":
            raise FormatError(f"{self.path}: no such file")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = pycolmap.Database.open(self.path)
        except RuntimeError as error:
            if not os.access(self.path.parent, os.W_OK):
                raise FormatError(f"{self.path}: its folder is read-only, and SQLite keeps its log there") from None
            raise FormatError(f"{self.path}: not a COLMAP database ({error})") from None

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> ColmapDatabase:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def names(self) -> list[str]:
        return sorted(image.name for image in self._db.read_all_images() if self._db.exists_keypoints(image.image_id))

    def __contains__(self, name: str) -> bool:
        image = self._db.read_image_with_name(name)
        return image is not None and self._db.exists_keypoints(image.image_id)

    def read(self, name: str) -> Features:
        """Features of one image; scores are NaN. Raises FormatError if it has none, or none of ours."""
        image_id = self._image_id(name)
        keypoints = self._db.read_keypoints(image_id)
        found = self._db.read_descriptors(image_id)
        raw = np.ascontiguousarray(found.data)
        exact = found.type == optional.load("pycolmap").FeatureExtractorType.UNDEFINED
        if not exact or len(raw) != len(keypoints) or raw.shape[1] % 4:
            raise FormatError(
                f"{self.path}: the descriptors of image {name!r} were not written by TraqPoint, or rounded for COLMAP"
            )
        camera = self._db.read_camera(self._db.read_image(image_id).camera_id)
        columns = torch.from_numpy(np.array(keypoints, dtype=np.float32))
        scales, radians = columns[:, 2:].T if columns.shape[1] == 4 else (None, None)
        return Features(
            columns[:, :2].contiguous(),
            torch.full((len(keypoints),), torch.nan),
            torch.from_numpy(raw.view(np.float32).copy()),
            (camera.width, camera.height),
            scales=scales,
            angles_deg=None if radians is None else radians.rad2deg(),
        )

    def write(
        self,
        name: str,
        features: Features,
        image_path: str | Path | None = None,
        camera: Camera | Any = None,
        share_camera: bool = False,
        camera_model: str = "SIMPLE_RADIAL",
        descriptor_type: DescriptorType = "UNDEFINED",
    ) -> None:
        """Add an image with its keypoints, camera, rig and frame.

        camera: calibration if it is known, or what `camera` of another database gave; else a guess of a `camera_model`
        from the EXIF of the file at image_path, or 1.2 times the longer side. share_camera: use the camera of an
        earlier image if it is the same; else each image has its own. descriptor_type: UNDEFINED keeps descriptors as
        they are; SIFT makes bytes of them, which COLMAP's own matchers take and nobody can read back. Raises
        FormatError if the image has features: its matches and models are made of them; or if they have too many
        dimensions for SIFT; OSError if the disk is nearly full, for then COLMAP would end the whole process.
        """
        pycolmap = optional.load("pycolmap")
        if name in self:
            raise FormatError(f"{self.path}: has features of {name!r} already, and COLMAP cannot replace them")
        if shutil.disk_usage(self.path.parent).free < _ROOM_BYTES + 2 * features.descriptors.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        with pycolmap.DatabaseTransaction(self._db):
            image = self._db.read_image_with_name(name)
            if image is None:
                guess = pycolmap_camera(features.image_size, image_path, camera, camera_model)
                image = self._add_image(name, guess, share_camera)
            image_id = image.image_id
            arrays = features.numpy()
            columns = [arrays["keypoints"]]
            if features.scales is not None:
                columns += [arrays["scales"][:, None], np.deg2rad(arrays["angles_deg"])[:, None]]
            self._db.write_keypoints(image_id, np.concatenate(columns, axis=1))
            kind = getattr(pycolmap.FeatureExtractorType, descriptor_type)
            data = (sift_bytes if descriptor_type == "SIFT" else _exact_bytes)(arrays["descriptors"])
            self._db.write_descriptors(image_id, pycolmap.FeatureDescriptors(kind, data))

    def camera(self, name: str) -> Any:
        """pycolmap's camera of an image, calibrated or guessed. Raises FormatError if it has no features."""
        return self._db.read_camera(self._db.read_image(self._image_id(name)).camera_id)

    def clear(self) -> None:
        """Delete everything: images, cameras, features and matches."""
        self._db.clear_all_tables()
        self._rigs.clear()

    def _add_image(self, name: str, camera: Any, share: bool) -> Any:
        pycolmap = optional.load("pycolmap")
        known = self._shared().get(_key(camera)) if share else None
        if known is None:
            camera.camera_id = self._db.write_camera(camera)
            rig = pycolmap.Rig()
            rig.add_ref_sensor(camera.sensor_id)
            known = camera.camera_id, self._db.write_rig(rig)
            if share:
                self._rigs[_key(camera)] = known
        camera_id, rig_id = known
        image = pycolmap.Image(name=name, camera_id=camera_id)
        image.image_id = self._db.write_image(image)
        frame = pycolmap.Frame()
        frame.rig_id = rig_id
        frame.add_data_id(image.data_id)
        self._db.write_frame(frame)
        return image

    def _shared(self) -> dict[tuple, tuple[int, int]]:
        """Cameras that images may share -> ids of the first such camera and of its rig; read once."""
        if not self._rigs:
            for camera in self._db.read_all_cameras():
                ids = camera.camera_id, self._db.read_rig_with_sensor(camera.sensor_id).rig_id
                self._rigs.setdefault(_key(camera), ids)
        return self._rigs

    def _image_id(self, name: str) -> int:
        if name not in self:
            raise FormatError(f"{self.path}: no features of image {name!r}")
        return self._db.read_image_with_name(name).image_id


class ColmapMatches:
    """The matches of a database, before geometric verification. COLMAP stores no scores: they are NaN."""

    def __init__(self, database: ColmapDatabase | str | Path, mode: str = "a") -> None:
        """database: an open one, which stays with who opened it, or the path of one, with `mode` as it has it."""
        self._is_ours = not isinstance(database, ColmapDatabase)
        self.database = database if isinstance(database, ColmapDatabase) else ColmapDatabase(database, mode)

    def close(self) -> None:
        if self._is_ours:
            self.database.close()

    def check_names(self, names: Iterable[str]) -> None:
        """Every name is its own key."""

    def __contains__(self, pair: tuple[str, str]) -> bool:
        known = all(name in self.database for name in pair)
        return known and self.database._db.exists_matches(*map(self.database._image_id, pair))

    def pairs(self, names: Iterable[str]) -> list[tuple[str, str]]:
        pycolmap, known = optional.load("pycolmap"), set(names)
        by_id = {image.image_id: image.name for image in self.database._db.read_all_images() if image.name in known}
        found = map(pycolmap.pair_id_to_image_pair, self.database._db.read_num_matches()[0])
        return [(by_id[a], by_id[b]) for a, b in found if a in by_id and b in by_id]

    def read(self, name_a: str, name_b: str) -> Matches:
        """Index pairs in the order asked for. Raises FormatError if the pair was not matched."""
        if (name_a, name_b) not in self:
            raise FormatError(f"{self.database.path}: no matches of {name_a!r} and {name_b!r}")
        a, b = (self.database._image_id(name) for name in (name_a, name_b))
        indices = torch.from_numpy(np.array(self.database._db.read_matches(a, b), dtype=np.int64)).reshape(-1, 2)
        return Matches(indices, torch.full((len(indices),), torch.nan))

    def clear(self) -> None:
        """Forget all matches, verified ones included; the images and keypoints stay."""
        self.database._db.clear_matches()
        self.database._db.clear_two_view_geometries()

    def __len__(self) -> int:
        """Number of matched pairs."""
        return self.database._db.num_matched_image_pairs()

    def write(self, name_a: str, name_b: str, matches: Matches, num_keypoints_a: int | None = None) -> None:
        a, b = (self.database._image_id(name) for name in (name_a, name_b))
        if self.database._db.exists_matches(a, b):
            self.database._db.delete_matches(a, b)
        self.database._db.write_matches(a, b, matches.indices.cpu().numpy().astype(np.uint32))

    def is_verified(self, name_a: str, name_b: str) -> bool:
        """Whether a geometry is known, be it an empty one."""
        return self.database._db.exists_two_view_geometry(*map(self.database._image_id, (name_a, name_b)))

    def write_verified(self, name_a: str, name_b: str, matches: Matches) -> None:
        """Those of the matches that agree with a two-view geometry of calibrated cameras: what mappers start from."""
        pycolmap = optional.load("pycolmap")
        geometry = pycolmap.TwoViewGeometry()
        geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
        geometry.inlier_matches = matches.indices.cpu().numpy().astype(np.uint32)
        self.database._db.write_two_view_geometry(*map(self.database._image_id, (name_a, name_b)), geometry)


def sift_bytes(descriptors: np.ndarray) -> np.ndarray:
    """Descriptors (N, D) of unit norm as (N, 128) uint8 for COLMAP's SIFT matchers, which know no negative numbers: the
    positive parts, then the negative ones, times 512 as SIFT's are. Raises FormatError if D > 64.

    Distances hardly change for neighbours, whose signs agree; those of unlike descriptors shrink.
    """
    count, dimension = descriptors.shape
    if 2 * dimension > _SIFT_DIMENSION:
        raise FormatError(f"descriptors of {dimension} dimensions do not fit into SIFT's {_SIFT_DIMENSION} bytes")
    out = np.zeros((count, _SIFT_DIMENSION), dtype=np.uint8)
    halves = np.concatenate([descriptors.clip(min=0), (-descriptors).clip(min=0)], axis=1)
    out[:, : 2 * dimension] = np.clip(np.round(_SIFT_NORM * halves), 0, 255)
    return out


def _exact_bytes(descriptors: np.ndarray) -> np.ndarray:
    count, dimension = descriptors.shape
    return np.frombuffer(descriptors.tobytes(), dtype=np.uint8).reshape(count, 4 * dimension)


FORMAT = Format("colmap", ColmapDatabase, ColmapMatches, (".db",), "database.db", "database.db")


def _key(camera: Any) -> tuple:
    """What equal cameras have in common."""
    return camera.model, camera.width, camera.height, *camera.params.tolist()
