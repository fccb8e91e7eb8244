"""What other programs go on with: coloured points, undistorted images, a folder for nerfstudio and splatting."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from traqpoint.files import atomic, remove_partials
from traqpoint.io.colmap_model import load_reconstruction, read_model
from traqpoint.io.nerfstudio import write_transforms
from traqpoint.sfm.verification import quiet


def write_points(model: Path, out: Path) -> None:
    """The coloured points of the model in folder `model` as a .ply. What is newer than the model is left alone."""
    if _is_newer(out, model):
        return
    reconstruction = load_reconstruction(model)
    with atomic(out) as partial:
        reconstruction.export_PLY(partial)


def undistort(model: Path, images: Mapping[str, Path], out: Path) -> None:
    """COLMAP's dense workspace of a model: ``images`` of pinhole cameras, ``sparse``, ``stereo``.

    images: name -> file.
    """
    if _is_newer(out, model):
        return
    with atomic(out) as partial, _undistorted(model, images, partial):
        pass


def write_splatting(model: Path, images: Mapping[str, Path], out: Path) -> None:
    """A folder for nerfstudio, gsplat and Gaussian splatting: ``transforms.json``, undistorted ``images``,
    ``sparse/0`` and ``points.ply``. images: name -> file.
    """
    if _is_newer(out, model):
        return
    with atomic(out) as partial, TemporaryDirectory(".partial", ".splatting.", out.parent) as work:
        with _undistorted(model, images, Path(work) / "dense") as dense:
            (partial / "sparse").mkdir(parents=True)
            shutil.move(dense / "images", partial / "images")
            shutil.move(dense / "sparse", partial / "sparse" / "0")
        write_points(partial / "sparse" / "0", partial / "points.ply")
        write_transforms(partial / "transforms.json", read_model(partial / "sparse" / "0"), "images", "points.ply")


def _is_newer(out: Path, model: Path) -> bool:
    """Whether `out` was made of this model, and is whole; else it is removed."""
    if out.exists() and out.stat().st_mtime_ns >= (model / "points3D.bin").stat().st_mtime_ns:
        return True
    remove_partials(out)
    shutil.rmtree(out, ignore_errors=True)
    return False


@contextmanager
def _undistorted(model: Path, images: Mapping[str, Path], out: Path) -> Iterator[Path]:
    """COLMAP looks for images by their names below one folder: links to the files, wherever they are."""
    with TemporaryDirectory(".partial", ".links.", out.parent) as links, quiet() as pycolmap:
        for name, path in images.items():
            link = Path(links) / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.absolute())
        out.mkdir(parents=True, exist_ok=True)
        pycolmap.undistort_images(out, model, links)
        yield out
