"""What the documents' placeholders stand for when their commands are run: files of a small rendered room."""

import shutil

import numpy as np
import torch
from documents import ROOT
from films import write_film
from PIL import Image

from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.source import Worlds
from traqpoint.geometry.pixels import opencv_K_from_colmap
from traqpoint.image import write_image

FRAMES = 8
PLACEHOLDERS = {
    "PHOTOS": "photos",
    "OTHER_PHOTOS": "photos",
    "MAPS": "photos",
    "IMAGES": "photos",
    "SHOTS": "frames",
    "RECORDING": "recording",
    "office/": "recording",
    "STRECHA_SCENE": "strecha/castle-P19",
    "SCENE": "strecha/castle-P19",
    "MODEL": "workspace/sparse/0",
    "WORKSPACE": "workspace",
    "D.safetensors": "traqpoint-s",
    "DIR": "dir",
    "FILE": "K.txt",
    "X": "1",
    "my_module:build": "document_method.py:build",
    "path/to/file.py:build": "other_document_method.py:build",
}
"""Word of a document -> what is in `write_inputs`' folder."""


def write_inputs(folder):
    """Everything but the workspace, which has to be reconstructed."""
    config = WorldsConfig(
        image_size=(320, 240), num_frames=FRAMES, kinds=("room",), motion=1.5, num_textures=8, texture_size=256
    )
    batch = Worlds(config).sample(1, torch.Generator().manual_seed(5))
    pictures = [(frame.permute(1, 2, 0) * 255).byte().numpy() for frame in batch.images[0]]
    for number, picture in enumerate(pictures, 1):
        for name in ("photos/{}.jpg", "frames/{}.png", "strecha/castle-P19/images/{}.jpg", "recording/images/{}.png"):
            write_image(folder / name.format(number), picture)
    shutil.copytree(folder / "strecha/castle-P19", folder / "strecha/entry-P10")
    for name, picture in (("a.jpg", pictures[0]), ("b.jpg", pictures[1])):
        write_image(folder / name, picture)
    for name in ("video.mp4", "walk.mp4"):
        write_film(folder / name, pictures)
    write_geometry(folder, batch.geometry)
    for name in ("document_method.py", "other_document_method.py"):
        shutil.copy(ROOT / "examples" / "own_method.py", folder / name)
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    (folder / "clone").symlink_to(ROOT)
    return folder


def write_geometry(folder, geometry):
    """K.txt, the cameras of the Strecha scenes, and poses and depth of the RGB-D recording."""
    K = [opencv_K_from_colmap(of_frame.double()).numpy() for of_frame in geometry.K[0]]
    poses = geometry.cam_from_world[0].double().numpy()
    (folder / "K.txt").write_text(numbers([K[0][0, 0], K[0][1, 1], K[0][0, 2], K[0][1, 2]]))
    lines = []
    for number, (k, pose) in enumerate(zip(K, poses, strict=True), 1):
        values = [k[0, 0], k[1, 1], k[0, 2], k[1, 2], *pose[:3, :3].ravel(), *pose[:3, 3]]
        lines.append(f"{number}.jpg {numbers(values)}")
    for scene in ("castle-P19", "entry-P10"):
        (folder / "strecha" / scene / "cameras.txt").write_text("\n".join(lines))
    np.savetxt(folder / "recording" / "K.txt", K[0])
    (folder / "recording" / "poses.txt").write_text("\n".join(numbers(np.linalg.inv(pose).ravel()) for pose in poses))
    (folder / "recording" / "depth").mkdir()
    for number, depth in enumerate(geometry.depth[0].nan_to_num().numpy(), 1):
        millimetres = Image.fromarray((1000 * depth).clip(0, 65535).astype(np.uint16))
        millimetres.save(folder / "recording" / "depth" / f"{number}.png")


def numbers(values):
    return " ".join(map(repr, map(float, values)))
