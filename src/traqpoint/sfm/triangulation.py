"""3D points of our own features in a scene whose camera poses are known: the map that localization needs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from torch import Tensor

from traqpoint.files import atomic, remove_partials
from traqpoint.io.colmap_model import ColmapModel, read_model
from traqpoint.sfm.config import MappingConfig
from traqpoint.sfm.verification import hash_of_poses, read_stamp, seeded, stamp_path, write_stamp


def triangulate(database: Path, cam_from_world: Mapping[str, Tensor], out: Path, config: MappingConfig) -> ColmapModel:
    """The model in ``out/sparse`` that COLMAP triangulates with poses and cameras fixed; a finished one is read.

    database: of `build_database`, with known cameras. cam_from_world: (4, 4) float64 by image name; other images of the
    database are left out. The world is that of the poses.
    """
    stamp, sparse = out / "map.json", out / "sparse"
    content = read_stamp(stamp_path(database))["content"] + hash_of_poses(cam_from_world)
    if sparse.is_dir() and read_stamp(stamp).get("content") == content:
        return read_model(sparse)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(sparse, ignore_errors=True)
    remove_partials(sparse)
    with atomic(sparse) as partial, seeded(config) as pycolmap:
        partial.mkdir()
        posed = pycolmap.Reconstruction()
        with closing(pycolmap.Database.open(database)) as db:
            for camera in db.read_all_cameras():
                posed.add_camera_with_trivial_rig(camera)
            for image in db.read_all_images():
                if image.name in cam_from_world:
                    pose = pycolmap.Rigid3d(cam_from_world[image.name][:3].numpy())
                    posed.add_image_with_trivial_frame(image, pose)
        options = pycolmap.IncrementalPipelineOptions()
        options.random_seed, options.num_threads = config.seed, config.num_threads
        options.extract_colors = False
        model = pycolmap.triangulate_points(posed, database, partial, partial, options=options)
        model.update_point_3d_errors()
        model.write(partial)
    write_stamp(stamp, {"content": content})
    return read_model(sparse)
