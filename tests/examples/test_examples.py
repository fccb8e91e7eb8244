"""The examples run as they are written."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from random_inputs import write_pan

import traqpoint as tp
from traqpoint.cli.main import main
from traqpoint.data.config import DataConfig
from traqpoint.data.mixture import build_source
from traqpoint.evaluation import TracksBenchmark, run_benchmark
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sampling import sample
from traqpoint.image import read_image, write_image
from traqpoint.io.stores import open_features, open_matches
from traqpoint.models.backbones import build_backbone
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.combination import COMBINATIONS
from traqpoint.policy.reward_config import RewardConfig

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
    return write_pan(tmp_path / "frames", 4)


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


def test_own_matcher(frames, weights, tmp_path, capsys):
    """By the API and by the command line: no match of the shifted pictures moves more than 40 pixels."""
    own = f"{EXAMPLES / 'own_matcher.py'}:build"
    extract = ["extract", str(frames), "--out", str(tmp_path / "f"), "--weights", weights, "--device", "cpu"]
    assert main(extract) == 0
    assert main(["match", str(tmp_path / "f"), "--matcher.method", own, "--device", "cpu"]) == 0
    assert "6 pairs done" in capsys.readouterr().out
    features, matches = open_features(tmp_path / "f"), open_matches(tmp_path / "f-matches")
    a, b = features.read("0.png"), features.read("1.png")
    found = tp.build_matcher(tp.MatcherConfig(own))(a, b)
    assert torch.equal(found.indices, matches.read("0.png", "1.png").indices) and len(found) > 20
    i, j = found.indices.unbind(1)
    assert (a.keypoints[i] - b.keypoints[j]).norm(dim=1).max() < 40


@pytest.mark.slow
def test_train_on_worlds(monkeypatch, capsys):
    """Each step reports a finite loss and a reward in [0, 1]."""
    run("train_on_worlds.py", monkeypatch, "--steps", "2", "--size", "64")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["step 1", "step 2"]
    for line in lines:
        stats = {k: float(v) for k, v in (item.split() for item in line.split(": ")[1].split(", "))}
        assert np.isfinite(stats["loss"]) and 0 <= stats["reward"] <= 1


def test_own_source(frames, tmp_path, capsys):
    """The command line trains two steps on a source that the package does not know, and tells what is wrong with it."""
    for image in frames.iterdir():
        write_image(image, cv2.resize(read_image(image), (300, 200)))
    source = str(EXAMPLES / "own_source.py")
    words = ["train", "descriptor", "--loop.steps", "2", "--loop.batch-size", "1", "--loop.device", "cpu"]
    words += ["--data.own", "folder", str(frames), "--descriptor.points-per-frame", "64"]
    out = tmp_path / "run"
    assert main([*words, "--out", str(out), "--data.mixture", f"{source}:Scrolling", "1"]) == 0
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2] and all(np.isfinite(line["loss"]) for line in lines)
    assert (out / "descriptor.safetensors").is_file()
    assert main([*words, "--out", str(tmp_path / "b"), "--data.mixture", f"{source}:Scroling", "1"]) == 2
    assert "own_source.py has no 'Scroling'" in capsys.readouterr().err


def test_the_pixels_of_the_own_source_are_where_its_geometry_says(frames):
    for image in frames.iterdir():
        write_image(image, cv2.resize(read_image(image), (300, 200)))
    config = DataConfig(mixture=((f"{EXAMPLES / 'own_source.py'}:Scrolling", 1.0),), own=(("folder", str(frames)),))
    batch = build_source(config, "cpu").sample(2, torch.Generator().manual_seed(0))
    xy = pixel_grid(96, 96)[None].expand(2, -1, -1)
    warped = batch.geometry.warp(0, 1, xy)
    here, there = (sample(batch.images[:, t], p, (96, 96)) for t, p in ((0, xy), (1, warped.xy)))
    assert warped.visible.any() and float((here - there)[warped.visible].abs().max()) < 1e-4


@pytest.mark.slow
def test_own_backbone(tmp_path):
    """Both stages train above a backbone that the package does not know."""
    worlds = ["--data.mixture", "worlds", "1", "--data.worlds.image-size", "64", "64", "--data.worlds.num-frames", "2"]
    worlds += ["--data.worlds.num-textures", "2", "--data.worlds.texture-size", "32"]
    loop = ["--loop.steps", "2", "--loop.batch-size", "1", "--loop.device", "cpu"]
    network = ["--model.descriptor", "base", "--model.backbone", f"{EXAMPLES / 'own_backbone.py'}:Patches"]
    first, second = tmp_path / "descriptor", tmp_path / "policy"
    assert (
        main(["train", "descriptor", "--out", str(first), *loop, *network, "--model.descriptor-dim", "32", *worlds])
        == 0
    )
    trained = TraqPoint.from_pretrained(first / "descriptor.safetensors").descriptor
    assert type(trained.backbone).__name__ == "Patches"
    start = ["--descriptor", str(first / "descriptor.safetensors")]
    assert main(["train", "policy", "--out", str(second), *loop, *start, *worlds]) == 0
    kept = TraqPoint.from_pretrained(second / "traqpoint.safetensors").descriptor
    assert torch.equal(kept.backbone.levels[0].weight, trained.backbone.levels[0].weight)


@pytest.mark.slow
def test_own_teacher(frames, tmp_path, capsys):
    """A backbone that the package does not know as a teacher is learnt from; without its weights, one line says so."""
    torch.manual_seed(0)
    words = ["train", "descriptor", "--data.photos", str(frames), "--out", str(tmp_path / "run")]
    words += ["--teachers.names", f"{EXAMPLES / 'own_teacher.py'}:build", "--teachers.folder", str(tmp_path)]
    words += ["--descriptor.losses", "similarity", "1", "contrast", "1", "--data.homography.image-size", "64"]
    words += ["--loop.steps", "2", "--loop.batch-size", "1", "--loop.device", "cpu"]
    assert main(words) == 1 and "holds no weights of a backbone" in capsys.readouterr().err
    torch.save(build_backbone("small").state_dict(), tmp_path / "small.pth")
    assert main(words) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["similarity"]) and line["similarity"] > 0 for line in lines)


@pytest.mark.slow
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


def test_own_benchmark(frames, monkeypatch, capsys):
    """A still camera's matches are all right, whatever the light; those of one that moves by 3 px are not."""
    still = frames.parent / "still"
    for t in range(3):
        write_image(still / f"{t}.png", (read_image(frames / "0.png") * (1 - 0.1 * t)).astype(np.uint8))
    run("own_benchmark.py", monkeypatch, str(still), "--methods", "SIFT", "ORB")
    table = capsys.readouterr().out
    assert table.startswith("**still camera · still (pairs 2)") and "| ORB |" in table
    module = runpy.run_path(str(EXAMPLES / "own_benchmark.py"))
    precision = {
        folder.name: tp.run_benchmark(module["StillCamera"](folder=folder, threshold_px=2), ["SIFT"])[""][0].stats[
            "precision"
        ]
        for folder in (still, frames)
    }
    assert precision["still"] > 0.9 and precision["frames"] < 0.1


def test_own_combination():
    """The lowest term counts, whatever it weighs."""
    worst = COMBINATIONS[RewardConfig(combination=f"{EXAMPLES / 'reward_term.py'}:worst").combination]
    lowest = worst([torch.tensor([[0.25, 0.75]]), torch.tensor([[0.5, 0.5]])], (1.0, 0.5))
    assert lowest.tolist() == [[0.25, 0.5]]
