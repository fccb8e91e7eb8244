"""Cameras of COLMAP's models, in COLMAP's pixel convention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from traqpoint.errors import GeometryError
from traqpoint.geometry.distortion import COEFFICIENTS, distort, straighten
from traqpoint.geometry.transforms import homogeneous, scaling, translation

PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "SIMPLE_RADIAL_FISHEYE": ("f", "cx", "cy", "k1"),
    "RADIAL_FISHEYE": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}
"""Parameter order per model, as in COLMAP's cameras.txt. Its other models are missing: FOV, division, thin prism, EUCM,
fisheyes without coefficients, and the equirectangular one, which no pinhole image can replace."""
LEAST_FOCAL = 0.1
"""In longer sides of the image: 157 degrees of view, more than any pinhole camera has."""


@dataclass(frozen=True)
class Camera:
    """One camera. model: a key of PARAMETERS. params: (P,) in COLMAP's order. image_size: (W, H)."""

    model: str
    image_size: tuple[int, int]
    params: Tensor

    def __post_init__(self) -> None:
        if self.model not in PARAMETERS:
            raise GeometryError(f"camera model {self.model!r} is not one of {', '.join(PARAMETERS)}")
        if self.params.shape != (len(PARAMETERS[self.model]),):
            raise GeometryError(
                f"{self.model} has parameters {', '.join(PARAMETERS[self.model])}; got {self.params.numel()} numbers"
            )
        focal = torch.stack([self._parameter("fx"), self._parameter("fy")])
        if not bool(torch.isfinite(self.params).all()) or not bool((focal > 0).all()):
            raise GeometryError(f"{self.model}: parameters must be finite with positive focal length")

    def _parameter(self, name: str) -> Tensor:
        names = PARAMETERS[self.model]
        if name in names:
            return self.params[names.index(name)]
        if name in ("fx", "fy"):
            return self.params[0]
        return self.params.new_zeros(())

    @property
    def K(self) -> Tensor:
        """(3, 3) calibration matrix, without distortion."""
        K = torch.eye(3, dtype=self.params.dtype, device=self.params.device)
        K[0, 0], K[1, 1] = self._parameter("fx"), self._parameter("fy")
        K[0, 2], K[1, 2] = self._parameter("cx"), self._parameter("cy")
        return K

    @property
    def fisheye(self) -> bool:
        """Whether the distortion is one of the angle to the optical axis."""
        return self.model.endswith("FISHEYE")

    @property
    def distortion(self) -> Tensor:
        """(8,) k1 k2 p1 p2 k3 k4 k5 k6, OpenCV's order."""
        return torch.stack([self._parameter(name) for name in COEFFICIENTS])

    @property
    def distorted(self) -> bool:
        """Whether straight lines may look bent."""
        return self.fisheye or bool((self.distortion != 0).any())

    @property
    def pinhole(self) -> Camera:
        """The camera with the same K and size, and without distortion."""
        return Camera.from_matrix(self.K, self.image_size)

    @classmethod
    def from_matrix(cls, K: Tensor, image_size: tuple[int, int], distortion: Sequence[float] = ()) -> Camera:
        """From a calibration matrix (3, 3) and OpenCV's k1 k2 p1 p2 [k3 [k4 k5 k6]]: PINHOLE, OPENCV or FULL_OPENCV.

        K: for our pixels; OpenCV's own goes through `colmap_K_from_opencv` first. Raises GeometryError if K is no
        calibration matrix, or one with skew, and for more coefficients.
        """
        if not is_calibration(K):
            raise GeometryError(f"{K.tolist()} is not a calibration matrix without skew")
        if len(distortion) > 8:
            raise GeometryError(f"a lens of OpenCV's with {len(distortion)} coefficients: 8 at most are supported")
        model = "FULL_OPENCV" if len(distortion) > 4 else "OPENCV" if any(distortion) else "PINHOLE"
        count = len(PARAMETERS[model]) - 4
        padded = [*distortion, *[0.0] * 8][:count]
        return cls(model, image_size, torch.cat([K[[0, 1, 0, 1], [0, 1, 2, 2]], K.new_tensor(padded)]))

    def double(self) -> Camera:
        """In float64."""
        return replace(self, params=self.params.double())

    def project(self, points: Tensor) -> Tensor:
        """Points in the camera frame (..., 3) -> pixels (..., 2); NaN for points at or behind the camera."""
        z = points[..., 2:]
        xy = torch.where(z > 1e-8, points[..., :2] / z, torch.full_like(points[..., :2], torch.nan))
        focal, centre = self.K.diagonal()[:2], self.K[:2, 2]
        return distort(xy, self.distortion, self.fisheye) * focal + centre

    def unproject(self, xy: Tensor) -> Tensor:
        """Pixels (..., 2) -> rays (..., 3) with z = 1; NaN where the lens shows nothing."""
        focal, centre = self.K.diagonal()[:2], self.K[:2, 2]
        straight = (xy - centre) / focal
        if self.distorted:
            straight = straighten(straight, self.distortion, self.fisheye)
        return homogeneous(straight)

    def undistorted(self, xy: Tensor) -> Tensor:
        """Pixels (..., 2) -> pixels (..., 2) of `pinhole`."""
        if not self.distorted:
            return xy
        return self.unproject(xy)[..., :2] * self.K.diagonal()[:2] + self.K[:2, 2]

    def _transformed(self, transform: Tensor, image_size: tuple[int, int]) -> Camera:
        K = transform.to(self.params) @ self.K
        params = self.params.clone()
        for i, name in enumerate(PARAMETERS[self.model]):
            if name in ("f", "fx"):
                params[i] = K[0, 0]
            elif name == "fy":
                params[i] = K[1, 1]
            elif name in ("cx", "cy"):
                params[i] = K[int(name == "cy"), 2]
        return replace(self, image_size=image_size, params=params)

    def resized(self, image_size: tuple[int, int]) -> Camera:
        """The camera of the image resized to (W, H). Raises GeometryError if one focal length must become two."""
        sx = image_size[0] / self.image_size[0]
        sy = image_size[1] / self.image_size[1]
        if "f" in PARAMETERS[self.model] and abs(sx / sy - 1) > 1e-2:
            raise GeometryError(f"{self.model} cannot be resized from {self.image_size} to {image_size}: use PINHOLE")
        return self._transformed(scaling(sx, sy), image_size)

    def cropped(self, corner: tuple[float, float], image_size: tuple[int, int]) -> Camera:
        """The camera of the crop of size (W, H) whose top-left corner is at `corner`."""
        return self._transformed(translation(-corner[0], -corner[1]), image_size)


def fit_camera(camera: Camera, image_size: tuple[int, int], name: str) -> Camera:
    """The camera at the size (W, H) of an image file. Raises GeometryError, naming it, if it shows another picture."""
    if image_size == camera.image_size:
        return camera
    sx, sy = (new / old for new, old in zip(image_size, camera.image_size, strict=True))
    if abs(sx / sy - 1) > 1e-2:
        raise GeometryError(
            f"{name}: {image_size[0]}x{image_size[1]} px, but its camera has {camera.image_size[0]}x"
            f"{camera.image_size[1]} (cropped, or turned by its EXIF orientation?)"
        )
    return camera.resized(image_size)


def is_calibration(K: Tensor) -> bool:
    """Whether `K` is (3, 3) with finite focal lengths and centre, and nothing else: no skew, no scale."""
    if K.shape != (3, 3) or not bool(torch.isfinite(K).all()):
        return False
    return not bool(K[[0, 1, 2, 2], [1, 0, 0, 1]].any()) and bool((K.diagonal()[:2] > 0).all()) and bool(K[2, 2] == 1)


def check_K(K: Tensor, image_size: tuple[int, int], name: str) -> Tensor:
    """Return K (3, 3) if it can be the calibration, in pixels, of an image of `image_size` (W, H).

    Raises GeometryError naming `name` where it is transposed, in another unit or another image's: no pinhole matrix, a
    principal point outside the image, or a focal length below LEAST_FOCAL of its longer side.
    """
    pinhole = bool(torch.isfinite(K).all()) and float(K.tril(-1).abs().max()) < 1e-6 and K[2, 2] == 1
    focal, (cx, cy) = K.diagonal()[:2].min(), K[:2, 2]
    inside = 0 < cx < image_size[0] and 0 < cy < image_size[1]
    if not pinhole or not inside or focal < LEAST_FOCAL * max(image_size):
        values = " ".join(f"{value:.6g}" for value in K.flatten().tolist())
        raise GeometryError(f"{name}: K = [{values}] cannot be of an image of {image_size[0]}x{image_size[1]} px")
    return K
