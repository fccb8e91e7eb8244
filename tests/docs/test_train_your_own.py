"""docs/train_your_own.md from top to bottom, on a small film of a rendered room, thirty updates a stage."""

import documents
import pytest
import torch
from films import write_film

pytest.importorskip("pycolmap")

from traqpoint.cli.main import main
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.source import Worlds
from traqpoint.image import write_image

PAGE = documents.ROOT / "docs" / "train_your_own.md"


def commands():
    """The arguments of each traqpoint command of the page."""
    for _, block in documents.blocks(PAGE):
        for program, *arguments in documents.commands(block):
            assert program == "traqpoint"
            yield arguments


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with film.mp4 and photos/."""
    folder = tmp_path_factory.mktemp("inputs")
    config = WorldsConfig(image_size=(320, 240), num_frames=9, kinds=("room",), motion=1.5)
    for seed, name in ((3, "film"), (5, "photos")):
        frames = Worlds(config).sample(1, torch.Generator().manual_seed(seed)).images[0]
        pictures = [(frame.permute(1, 2, 0) * 255).byte().numpy() for frame in frames]
        if name == "film":
            write_film(folder / "film.mp4", pictures)
        else:
            for number, picture in enumerate(pictures):
                write_image(folder / name / f"{number}.png", picture)
    return folder


@pytest.mark.slowest
def test_the_page_runs_from_top_to_bottom(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = {"FILM": str(inputs / "film.mp4"), "PHOTOS": str(inputs / "photos")}
    words |= {"real/FILM_NAME": "real/film", "real/PHOTOS_NAME": "real/photos"}
    ran = []
    for arguments in commands():
        arguments = [words.get(word, word) for word in arguments]
        if arguments[0] == "train":
            arguments += ["--loop.steps", "30", "--loop.device", "cpu"]
        elif arguments[0] in ("data", "eval", "extract", "sfm"):
            arguments += ["--device", "cpu"]
        assert main(arguments) == 0, (arguments, capsys.readouterr().err)
        ran.append(" ".join(arguments[:2] if arguments[0] in ("data", "train", "eval", "export") else arguments[:1]))
    assert ran == [
        "data sequences",
        "train descriptor",
        "train policy",
        "eval tracks",
        "extract",
        "sfm",
        "export onnx",
    ]
    assert (tmp_path / "real/film/sparse/0/points3D.bin").is_file() and (tmp_path / "network.onnx").is_file()
