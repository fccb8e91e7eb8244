"""Something to look at, of files that are there."""

import builtins

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")

from traqpoint.apps.view import view
from traqpoint.cli.main import main
from traqpoint.errors import ConfigError, FormatError, MissingDependencyError
from traqpoint.image import read_image, write_image
from traqpoint.io.npz import save_tracks
from traqpoint.io.trajectory import Trajectory, write_tum
from traqpoint.types import Tracks


@pytest.fixture
def film(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(4):
        write_image(tmp_path / "film" / f"{number}.png", rng.integers(0, 255, (64, 96, 3), dtype=np.uint8))
    frame = torch.arange(4).repeat(3)
    xy = torch.stack([20 + 10.0 * frame, 20 + 10.0 * torch.arange(3).repeat_interleave(4)], dim=-1)
    save_tracks(tmp_path / "tracks.npz", Tracks(frame, frame, torch.arange(3).repeat_interleave(4), xy, 4))
    return tmp_path


def test_matches_and_score_maps_become_pictures(film):
    a, out = str(film / "film" / "0.png"), str(film / "out.png")
    assert main(["view", "matches", a, a, "--out", out, "--device", "cpu"]) == 0
    assert read_image(out).shape[1] > 1000
    assert main(["view", "scores", a, "--out", out, "--device", "cpu", "--long-side", "48"]) == 0


def test_tracks_become_a_picture_in_the_frame_that_is_asked_for(film):
    view(film / "tracks.npz", film / "tracks.png", film / "film", frame=2)
    assert read_image(film / "tracks.png").shape[1] > 1000
    with pytest.raises(ConfigError, match="has no frame 9"):
        view(film / "tracks.npz", film / "tracks.png", film / "film", frame=9)
    with pytest.raises(ConfigError, match="--frames"):
        view(film / "tracks.npz", film / "tracks.png")


def test_a_path_becomes_a_picture_and_a_text_that_is_none_is_told(film):
    poses = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    poses[:, 0, 3] = torch.arange(3)
    write_tum(film / "path.txt", Trajectory(torch.arange(3, dtype=torch.float64), poses))
    view(film / "path.txt", film / "path.png")
    assert (film / "path.png").is_file()
    (film / "words.txt").write_text("# nothing")
    with pytest.raises(FormatError, match=r"words\.txt: neither tracks\.npz nor a path"):
        view(film / "words.txt", film / "path.png")


def test_a_model_needs_a_recording_and_a_recording_needs_rerun(film, monkeypatch):
    with pytest.raises(ConfigError, match=r"a model is shown by a recording, \.rrd"):
        view(film, film / "model.png")
    found = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("rerun"):
            raise ImportError(name)
        return found(name, *rest, **options)

    monkeypatch.setattr("importlib.import_module", lambda name: without(name))
    with pytest.raises(MissingDependencyError, match=r"rerun is not installed: pip install 'traqpoint\[viz3d\]'"):
        view(film / "tracks.npz", film / "tracks.rrd")
