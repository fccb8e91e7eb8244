"""Stage 1 with a teacher of one's own, through the command line."""

import json

import numpy as np
import pytest
import torch

from traqpoint.cli.main import main
from traqpoint.image import write_image
from traqpoint.models.weights import read

TEACHER = """
import torch
import torch.nn.functional as F


class Place:
    licence = "CC0"
    identity = "place 1"

    def describe(self, image, xy):
        return F.normalize(torch.cat([xy, xy.new_full((len(xy), 1), 50.0)], dim=1), dim=1)


def build(name, folder, device):
    return Place()
"""


@pytest.fixture
def folder(tmp_path):
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 255, (24, 24, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        write_image(tmp_path / f"photos/{i}.png", noise)
    (tmp_path / "place.py").write_text(TEACHER)
    return tmp_path


def arguments(folder, *more):
    return [
        *("train", "descriptor", "--data.photos", f"{folder}/photos", "--out", f"{folder}/run"),
        *("--teachers.names", f"{folder}/place.py:build"),
        *("--data.homography.image-size", "64", "--data.homography.num-frames", "2"),
        *("--loop.steps", "2", "--loop.batch-size", "1", "--loop.device", "cpu", "--loop.precision", "float32"),
        *("--model.descriptor", "pyramid-t", "--model.detector", "pyramid", "--descriptor.points-per-frame", "16"),
        *more,
    ]


@pytest.mark.slow
def test_two_steps_with_all_losses_continue_and_the_weights_name_their_teachers(folder, capfd):
    losses = ["--descriptor.losses", "cosine", "4", "contrast", "1", "similarity", "1", "procrustes", "1"]
    words = arguments(folder, *losses, "--data.homography.light", "strong", "--loop.checkpoint-every", "1")
    assert main(words) == 0
    path = capfd.readouterr().out.strip()
    lines = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    for line in lines:
        parts = 4 * line["cosine"] + line["contrast"] + line["similarity"] + line["procrustes"]
        assert line["loss"] == pytest.approx(parts, rel=1e-4)
    state, metadata = read(path)
    assert metadata["teachers"] == f"{folder}/place.py:build (CC0)"
    assert len(list((folder / "teachers").iterdir())) == 2
    (folder / "place.py").write_text(TEACHER.replace("return F", "raise AssertionError; return F"))
    assert main(words) == 0  # from the checkpoint; what the teacher said is kept
    assert all(torch.equal(value, read(path)[0][name]) for name, value in state.items())


@pytest.mark.slow
def test_a_contrast_of_taught_points_alone_has_an_accuracy(folder):
    assert main(arguments(folder, "--descriptor.points-per-frame", "0")) == 0
    assert "accuracy" in json.loads((folder / "run/log.jsonl").read_text().splitlines()[0])


def test_a_loss_of_ones_own_needs_no_edit_of_the_package(folder):
    (folder / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from traqpoint.training.losses.loss import Loss\n"
        "@dataclass(frozen=True)\n"
        "class Squared(Loss):\n"
        "    scale: float = 1.0\n"
        "    def __call__(self, lesson):\n"
        "        taught = lesson.taught\n"
        "        error = (taught.student - taught.targets.unsqueeze(1)).square().sum(-1)\n"
        "        return self.scale * (error * taught.seen).sum() / taught.seen.sum().clamp(min=1)\n"
    )
    mine = ["--descriptor.losses", f"{folder}/mine.py:Squared", "1", "cosine", "1"]
    assert main(arguments(folder, *mine, "--descriptor.options", "Squared.scale", "0.5")) == 0
    for line in (folder / "run/log.jsonl").read_text().splitlines():
        numbers = json.loads(line)
        assert numbers["Squared"] == pytest.approx(numbers["cosine"], rel=1e-4)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--teachers.names", "edgepoint2-E64", "--teachers.folder", "{folder}/photos"], "photos/edgepoint2-E64.pth"),
        (["--teachers.names", "edgepoint2-E64"], "edgepoint2-E64.pth"),
        (["--teachers.names", "edgepoint"], "known are edgepoint2-T32"),
        (["--teachers.names", "{folder}/photos/0.png"], "unknown teacher"),
        (["--teachers.names", "{folder}/nothing.safetensors"], "nothing.safetensors"),
        (["--teachers.names", "json:dumps"], "json:dumps"),
        (["--teachers.cache", "{folder}/place.py"], "place.py"),
        (["--teachers.keypoints", "nothing"], "nothing"),
        (["--teachers.long-side", "3"], "long_side"),
        (["--descriptor.losses", "cosin", "1"], "unknown loss"),
        (["--data.mixture", "worlds", "1"], "no source of the mixture has photos"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_run(folder, capfd, more, named):
    assert main(arguments(folder, *(word.format(folder=folder) for word in more))) in (1, 2)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("traqpoint: error: ") and named in lines[0], lines
    assert not (folder / "run").exists()


def test_a_loss_that_needs_a_teacher_says_so(folder, capfd):
    words = ["train", "descriptor", "--data.photos", f"{folder}/photos", "--out", f"{folder}/run"]
    assert main([*words, "--descriptor.losses", "cosine", "1"]) == 1
    assert "the loss cosine needs teachers" in capfd.readouterr().err
