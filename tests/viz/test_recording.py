"""Recordings that Rerun reads."""

import numpy as np
import pytest
import torch

pytest.importorskip("rerun")

from traqpoint.geometry.camera import Camera
from traqpoint.io.colmap_model import ColmapModel, ModelImage
from traqpoint.io.trajectory import Trajectory
from traqpoint.types import Tracks
from traqpoint.viz.recording import record_model, record_path, record_tracks

POSES = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)


def of_a_model(out):
    camera = Camera("PINHOLE", (64, 48), torch.tensor([50.0, 50, 32, 24], dtype=torch.float64))
    nothing = torch.empty(0, 2, dtype=torch.float64), torch.empty(0, dtype=torch.int64)
    images = {name: ModelImage(name, camera, POSES[0], *nothing) for name in ("a/1.jpg", "b 2.jpg")}
    record_model(out, ColmapModel(images, torch.arange(5), torch.rand(5, 3).double(), torch.zeros(5)))


def of_a_path(out):
    record_path(out, Trajectory(torch.arange(3, dtype=torch.float64), POSES))


def of_tracks(out):
    frame, xy = torch.arange(3).repeat(2), torch.rand(6, 2)
    pictures = [np.zeros((48, 64, 3), dtype=np.uint8)] * 3
    record_tracks(out, Tracks(frame, frame, torch.arange(2).repeat_interleave(3), xy, 3), pictures)


@pytest.mark.parametrize("record", [of_a_model, of_a_path, of_tracks])
def test_a_recording_is_a_whole_file_of_reruns(tmp_path, record):
    record(tmp_path / "x.rrd")
    data = (tmp_path / "x.rrd").read_bytes()
    assert data.startswith(b"RRF2") and len(data) > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["x.rrd"]
