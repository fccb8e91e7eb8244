"""MegaDepth's scene_info files: pickled dictionaries of numpy arrays, read without running what a pickle can hold."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint.errors import FormatError

_ALLOWED = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype")}
"""All that an array, alone or within others, needs to be rebuilt."""


def read_scene_info(path: str | Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """The values of `keys` in a scene_info file: one pickled dictionary (whatever its suffix), or a true npz archive.

    Raises FormatError naming the file if it cannot be read, holds other objects than arrays, or lacks a key.
    """
    try:
        data = Path(path).read_bytes()
        content = _from_archive(data, keys) if data[:2] == b"PK" else _load(io.BytesIO(data))
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from None
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise FormatError(f"{path}: not a scene_info file ({error})") from None
    except (zipfile.BadZipFile, KeyError) as error:
        raise FormatError(f"{path}: not a whole npz archive ({error})") from None
    if not isinstance(content, dict):
        raise FormatError(f"{path}: a scene_info file holds a dictionary, this one {type(content).__name__}")
    missing = [key for key in keys if key not in content]
    if missing:
        raise FormatError(f"{path}: key {missing[0]!r} is missing")
    return {key: content[key] for key in keys}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it would import {module}.{name}")
        return super().find_class(module, name)


def _load(stream: io.BufferedIOBase) -> Any:
    return _ArrayUnpickler(stream).load()


def _from_archive(data: bytes, keys: tuple[str, ...]) -> dict[str, Any]:
    out = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for key in keys:
            if f"{key}.npy" in archive.namelist():
                out[key] = _array(archive.read(f"{key}.npy"))
    return out


def _array(data: bytes) -> Any:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(stream)
    if dtype.hasobject:
        return _load(stream)  # the shape is in the pickle, too
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
