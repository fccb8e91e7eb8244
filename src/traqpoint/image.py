"""Reading, listing, resizing and padding images. RGB everywhere; uint8 (H, W, 3) only right after the file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import DataError, ImageError
from traqpoint.geometry.orientation import UPRIGHT, is_sideways

Picture = np.ndarray | Tensor
"""uint8 (H, W, 3) RGB, as files have it, or float (3, H, W) in [0, 1], as networks want it: four times the memory."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".bmp", ".webp"})


_ORIENTATION = 0x0112
"""EXIF's tag."""
_UNREADABLE = frozenset({".heic", ".heif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw"})
"""Photographs that OpenCV does not decode: left out, and told."""


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file as uint8 (H, W, 3) RGB, EXIF orientation applied, grey repeated, alpha dropped.

    16-bit images are scaled by 1/257, float images are taken as [0, 1]. Raises ImageError naming the file if it is
    missing, empty, truncated or not an image.
    """
    return _decode(read_image_file(path), str(path))


def read_orientation(path: str | Path) -> int:
    """EXIF's orientation, from 1 (upright) to 8, of an image file that can be read; 1 where there is none."""
    image = optional.load("PIL.Image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, and of odd EXIF
            with image.open(path) as file:
                found = file.getexif().get(_ORIENTATION, UPRIGHT)
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError):  # a format, or a size, not for Pillow
        return UPRIGHT
    return found if found in range(1, 9) else UPRIGHT


def read_image_file(path: str | Path) -> bytes:
    """The undecoded content. Raises ImageError naming the file if it is missing, empty or truncated."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None
    if not data:
        raise ImageError(f"{path}: the file is empty")
    if _truncated(data):
        raise ImageError(f"{path}: the image file is truncated")
    return data


def _truncated(data: bytes) -> bool:
    # Decoders fill the rest of a cut file with grey and only whisper about it.
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda") or b"\xff\xda" not in data
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-64:]
    return False


def _decode(data: bytes, name: str) -> np.ndarray:
    try:
        return _rgb(data, name)
    except MemoryError:
        raise ImageError(f"{name}: the image is too large for the memory that there is") from None


def _rgb(data: bytes, name: str) -> np.ndarray:
    cv2 = optional.load("cv2")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"{name}: cannot be decoded ({error.err})") from None
    if image is None or image.size == 0:
        raise ImageError(f"{name}: not an image that OpenCV can read")
    if image.dtype == np.uint16:
        image = np.round(image / 257.0).astype(np.uint8)
    elif image.dtype != np.uint8:
        image = np.round(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image[..., :3][..., ::-1])


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 (H, W, 3) RGB; the suffix names the format. Raises ImageError if it cannot be written."""
    cv2 = optional.load("cv2")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        written = cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))
    except cv2.error as error:
        raise ImageError(f"{path}: could not be written ({error.err})") from None
    if not written:
        raise ImageError(f"{path}: could not be written")


def list_images(folder: str | Path) -> list[Path]:
    """All image files below `folder`, sorted by path. Raises DataError if there are none.

    Warns of photographs of formats that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    unreadable = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _UNREADABLE)
    if unreadable:
        more = f" and {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        warnings.warn(f"{unreadable[0]}{more}: this format cannot be read; convert to JPEG or PNG", stacklevel=2)
    if not paths:
        raise DataError(f"{folder}: no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in this folder")
    return paths


def first_size(paths: Iterable[str | Path]) -> tuple[int, int]:
    """(W, H) of the first image that can be read, as its file has it: before EXIF's orientation.

    Raises ImageError, the first one's, if none can.
    """
    errors: list[ImageError] = []
    for path in paths:
        try:
            height, width = read_image(path).shape[:2]
            return (height, width) if is_sideways(read_orientation(path)) else (width, height)
        except ImageError as error:
            errors.append(error)
    raise errors[0] if errors else ImageError("no image is given")


def expand_images(paths: Iterable[str | Path]) -> list[Path]:
    """Files stay as they are, folders become the images below them; the order is kept. Raises DataError on none."""
    out: list[Path] = []
    for path in map(Path, paths):
        out.extend(list_images(path) if path.is_dir() else [path])
    if not out:
        raise DataError("no images given")
    return out


def to_tensor(image: np.ndarray | Tensor, name: str = "image") -> Tensor:
    """uint8 (H, W, 3) array or float (3, H, W) tensor in [0, 1] -> float32 (3, H, W) tensor in [0, 1].

    Raises ImageError for other shapes and types, and for NaN.
    """
    if isinstance(image, np.ndarray):
        check_array(image, name)
        tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
    elif isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
            raise ImageError(
                f"{name}: a torch image must be (3, H, W) RGB float in [0, 1], got {tuple(image.shape)} {image.dtype}"
            )
        tensor = image.float()
        if tensor.numel():
            lowest, highest = map(float, tensor.aminmax())  # one pass; NaN comes out of it as NaN
            if not math.isfinite(lowest) or not math.isfinite(highest):
                raise ImageError(f"{name}: the image holds NaN or infinity")
            if highest > 2:
                raise ImageError(f"{name}: a torch image must lie in [0, 1], its maximum is {highest:.4g}")
    else:
        raise ImageError(f"{name}: expected a path, a numpy array or a torch tensor, got {type(image).__name__}")
    if 0 in tensor.shape:
        raise ImageError(f"{name}: the image is empty, shape {tuple(tensor.shape)}")
    return tensor


def check_array(image: np.ndarray, name: str = "image") -> None:
    """Raises ImageError unless it is uint8 (H, W, 3) with pixels in it."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"{name}: a numpy image must be (H, W, 3) RGB uint8, got {image.shape} {image.dtype}")
    if 0 in image.shape:
        raise ImageError(f"{name}: the image is empty, shape {image.shape}")


def picture_size(picture: Picture) -> tuple[int, int]:
    """(W, H)"""
    height, width = picture.shape[:2] if isinstance(picture, np.ndarray) else picture.shape[1:]
    return width, height


def is_flat(picture: Picture) -> bool:
    """Whether all pixels are the same, or there is only one."""
    pixels = picture if isinstance(picture, np.ndarray) else picture.permute(1, 2, 0)
    coarse = pixels[::16, ::16]  # enough to say no, nearly always
    return bool((coarse == pixels[0, 0]).all()) and bool((pixels == pixels[0, 0]).all())


def resize_long_side(image: Tensor, long_side: int) -> Tensor:
    """Shrink (3, H, W) so that its longer side is `long_side` px, antialiased; smaller images stay as they are.

    Each axis is scaled exactly by new/old size, so ``xy * new / old`` carries pixels.
    """
    height, width = image.shape[-2:]
    size = shrunk_size((width, height), long_side)
    if size == (width, height):
        return image
    return _resized(image, size)


def shrunk(image: np.ndarray, long_side: int) -> Tensor:
    """What `resize_long_side` makes of a uint8 (H, W, 3) image as a tensor, to the bit, without holding that tensor.

    First the rows are shrunk, some at a time, and then the columns.
    """
    height, width = image.shape[:2]
    size = shrunk_size((width, height), long_side)
    # One tensor to write into: many small ones that stay would leave holes that the next part does not fit into.
    rows = torch.empty(3, height, size[0])
    for y in range(0, height, 64):
        rows[:, y : y + 64] = _resized(to_tensor(image[y : y + 64]), (size[0], -1))
    return _resized(rows, size)


def resized(picture: Picture, long_side: int) -> Picture:
    """The picture with a longer side of `long_side` px: as `resize_long_side` shrinks, or enlarged, bilinearly."""
    size = picture_size(picture)
    if max(size) > long_side:
        return shrunk(picture, long_side) if isinstance(picture, np.ndarray) else resize_long_side(picture, long_side)
    scale = long_side / max(size)
    return picture if scale == 1 else _resized(to_tensor(picture), (round(size[0] * scale), round(size[1] * scale)))


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, H, W) to `size` (W, H), antialiased; -1 leaves a side as it is."""
    to = [side if side > 0 else old for side, old in zip(size[::-1], image.shape[-2:], strict=True)]
    return F.interpolate(image[None], size=to, mode="bilinear", antialias=True, align_corners=False)[0]


def shrunk_size(image_size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(W, H) that `resize_long_side` makes of an image of `image_size`."""
    if max(image_size) <= long_side:
        return image_size
    scale = long_side / max(image_size)
    width, height = (max(1, round(side * scale)) for side in image_size)
    return width, height


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Extend (..., 3, H, W) to the right and below to multiples of `multiple` by repeating the border.

    Pixel coordinates stay. Repeating, not zeros: a black edge is the strongest corner of many images.
    """
    height, width = image.shape[-2:]
    right = math.ceil(width / multiple) * multiple - width
    below = math.ceil(height / multiple) * multiple - height
    if not right and not below:
        return image
    batched = image if image.ndim == 4 else image.unsqueeze(0)
    out = F.pad(batched, (0, right, 0, below), mode="replicate")
    return out if image.ndim == 4 else out.squeeze(0)
