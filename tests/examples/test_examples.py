"""The examples run as they are written."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from traqpoint.evaluation import TracksBenchmark, run_benchmark
from traqpoint.image import read_image, write_image
from traqpoint.models.traqpoint import TraqPoint

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    model = TraqPoint()
    # An untrained policy is flatter than any keypoint may be.
    model.detector.policy_head.weight.data *= 100
    model.save_pretrained(path)
    return str(path)


@pytest.fixture
def frames(tmp_path) -> Path:
    """A folder of four pictures; the scene moves 3 px to the left per frame."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 42, 3), dtype=np.uint8)
    wide = cv2.resize(noise, (168, 96), interpolation=cv2.INTER_CUBIC)
    for t in range(4):
        write_image(tmp_path / "frames" / f"{t}.png", np.ascontiguousarray(wide[:, 3 * t : 3 * t + 128]))
    return tmp_path / "frames"


def run(name: str, monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_match_two_images(frames, weights, tmp_path, monkeypatch, capsys):
    """Matches of two shifted pictures are counted and drawn side by side."""
    out = tmp_path / "matches.png"
    pair = (str(frames / "0.png"), str(frames / "1.png"))
    run("match_two_images.py", monkeypatch, *pair, "--out", str(out), "--weights", weights)
    assert int(capsys.readouterr().out.split()[0]) > 20
    assert read_image(out).shape == (96, 256, 3)


def test_track_video(frames, weights, tmp_path, monkeypatch, capsys):
    """The longest track spans all frames, and the last frame is drawn."""
    out = tmp_path / "tracks.png"
    run("track_video.py", monkeypatch, str(frames), "--out", str(out), "--weights", weights)
    printed = capsys.readouterr().out
    assert "longest track: frames [0, 1, 2, 3]" in printed and f"drawn in {out}" in printed
    assert read_image(out).shape == (96, 128, 3)


def test_train_on_worlds(monkeypatch, capsys):
    """Each step reports a finite loss and a reward in [0, 1]."""
    run("train_on_worlds.py", monkeypatch, "--steps", "2", "--size", "64")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["step 1", "step 2"]
    for line in lines:
        stats = {k: float(v) for k, v in (item.split() for item in line.split(": ")[1].split(", "))}
        assert np.isfinite(stats["loss"]) and 0 <= stats["reward"] <= 1


def test_own_method(tmp_path):
    """A file outside of the package is judged beside SIFT, under its own name, and finds planes that move."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    for i in range(2):
        write_image(tmp_path / "photos" / f"{i}.png", cv2.resize(np.roll(noise, i, 0), (400, 400)))
    mild = TracksBenchmark(photos=tmp_path / "photos", frames=3, difficulty=0.1, max_keypoints=200)
    own, sift = run_benchmark(mild, [f"{EXAMPLES / 'own_method.py'}:build", "SIFT"])[""]
    assert (own.method, sift.method) == ("own_method", "SIFT")
    assert own.stats["keypoints"] == 200 and own.stats["completeness"] > 0.6
    assert own.protocol["extractor"]["name"].endswith("own_method.py:build")
