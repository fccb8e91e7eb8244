"""Folders and files that may be local, mounted, or at any URL that fsspec knows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from traqpoint import optional
from traqpoint.errors import DataError
from traqpoint.files import atomic
from traqpoint.image import IMAGE_SUFFIXES
from traqpoint.inference.images import name_images


def is_url(path: str | Path) -> bool:
    """Whether fsspec is asked for it."""
    return "://" in str(path)


class Place:
    """A folder that workers write whole files into, and the driver reads what is there."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder) if is_url(folder) else os.path.abspath(folder)

    def names(self, suffix: str) -> list[str]:
        """Of finished files, sorted."""
        if is_url(self.folder):
            files, root = _filesystem(self.folder)
            found = (
                [str(path).rsplit("/", 1)[-1] for path in files.ls(root, detail=False)] if files.exists(root) else []
            )
        else:
            found = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return sorted(name for name in found if name.endswith(suffix) and not name.startswith("."))

    def read(self, name: str) -> str:
        """Text of a file."""
        if is_url(self.folder):
            files, root = _filesystem(self.folder)
            return files.cat_file(f"{root}/{name}").decode()
        return (Path(self.folder) / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        """A file that is whole or absent."""
        if is_url(self.folder):
            files, root = _filesystem(self.folder)
            files.pipe_file(f"{root}/{name}", text.encode())
        else:
            with atomic(Path(self.folder) / name) as partial:
                partial.write_text(text, encoding="utf-8")

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A local path for a file of this place: itself, or what is uploaded at the end."""
        if not is_url(self.folder):
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            yield Path(self.folder) / name
            return
        with TemporaryDirectory() as folder:
            yield Path(folder) / name
            files, root = _filesystem(self.folder)
            files.makedirs(root, exist_ok=True)
            files.put_file(str(Path(folder) / name), f"{root}/{name}")

    def download(self, folder: Path) -> Path:
        """All finished HDF5 files, into a local folder."""
        files, root = _filesystem(self.folder)
        for name in self.names(".h5"):
            files.get_file(f"{root}/{name}", str(folder / name))
        return folder


def list_sources(sources: Sequence[str]) -> dict[str, str]:
    """Name -> path or URL of images: files, folders, URLs of files, folders or globs, and .txt files with one of these
    per line. A name is the path below the one folder or glob that is given, or below what all have in common.

    Raises DataError if there are none.
    """
    expanded = [line for source in sources for line in _lines(source)]
    urls = [source for source in expanded if is_url(source)]
    if not urls:
        return {name: str(path) for name, path in name_images(expanded)}
    if len(urls) < len(expanded):
        raise DataError(f"{urls[0]}: give URLs or local files, not both: their names would have no folder in common")
    found = dict.fromkeys(url for source in urls for url in _below(source))
    if not found:
        raise DataError(f"{urls[0]}: no images ({', '.join(sorted(IMAGE_SUFFIXES))}) there")
    folders = [url.split("/")[:-1] for url in found]
    above = 0
    while all(len(folder) > above and folder[above] == folders[0][above] for folder in folders):
        above += 1
    return {url.split("/", above)[-1]: url for url in found}


@contextmanager
def local_copy(source: str) -> Iterator[Path]:
    """A path that the image can be read at. Raises FileNotFoundError or OSError if it cannot be fetched."""
    if not is_url(source):
        yield Path(source)
        return
    with TemporaryDirectory() as folder:
        files, path = _filesystem(source)
        copy = Path(folder) / path.rsplit("/", 1)[-1]
        files.get_file(path, str(copy))
        yield copy


def _lines(source: str) -> list[str]:
    if not str(source).endswith(".txt"):
        return [str(source)]
    try:
        return [line.strip() for line in Path(source).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: cannot be read as a list of images ({error})") from None


def _below(source: str) -> list[str]:
    files, path = _filesystem(source)
    try:
        if any(letter in path for letter in "*?["):
            found = files.glob(path)
        else:
            found = files.find(path) if files.isdir(path) else [path]
    except (OSError, ValueError) as error:
        raise DataError(f"{source}: cannot be listed ({' '.join(str(error).split())})") from None
    return [files.unstrip_protocol(name) for name in sorted(found) if Path(name).suffix.lower() in IMAGE_SUFFIXES]


def _filesystem(url: str) -> tuple[Any, str]:
    fsspec = optional.load("fsspec")
    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:  # no such protocol, or its library is missing
        raise DataError(f"{url}: {' '.join(str(error).split())}") from None
    return files, path.rstrip("/")
