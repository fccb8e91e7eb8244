"""Mixtures of sources, and runs whose batches are made by workers."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from films import write_film

from traqpoint.cli.options import parse
from traqpoint.cli.train import Descriptor
from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.data.mixture import Mixture, build_source
from traqpoint.data.photos import load_video_frames, photos_once
from traqpoint.errors import ConfigError, DataError
from traqpoint.image import read_image, write_image
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.training.config import DescriptorConfig, DescriptorTraining, LoopConfig
from traqpoint.training.runs import train_descriptor

SMALL = HomographyConfig(image_size=32, num_frames=2)


class Named:
    def __init__(self, name):
        self.name, self.unreadable = name, {(name, 0): f"{name}: damaged"}

    def sample(self, batch_size, generator):
        return self.name, float(torch.rand((), generator=generator))


def pictures(folder, count=3):
    rng = np.random.default_rng(0)
    for i in range(count):
        write_image(folder / f"{i}.png", rng.integers(0, 255, (80, 80, 3), dtype=np.uint8))
    return folder


def training(photos, out, steps=6, workers=0, **data):
    loop = LoopConfig(steps=steps, batch_size=1, device="cpu", precision="float32", checkpoint_every=3, workers=workers)
    config = DataConfig(photos, homography=SMALL, **data)
    return DescriptorTraining(config, out, loop, DescriptorConfig(points_per_frame=16))


def state(path):
    return TraqPoint.from_pretrained(path).descriptor.state_dict()


def same(a, b):
    return all(torch.equal(value, b[key]) for key, value in a.items())


def test_two_sources_are_drawn_by_one_uniform_number_as_ever():
    """The random stream of the mixture that the released weights were trained with."""
    mixture = Mixture([(Named("worlds"), 0.15), (Named("homography"), 0.85)])
    generator, reference = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    for _ in range(200):
        chosen = "worlds" if float(torch.rand((), generator=reference)) < 0.15 else "homography"
        assert mixture.sample(1, generator) == (chosen, float(torch.rand((), generator=reference)))


def test_batches_come_in_proportion_to_the_weights():
    mixture = Mixture([(Named("a"), 1.0), (Named("b"), 2.0), (Named("c"), 5.0)])
    generator = torch.Generator().manual_seed(0)
    names = [mixture.sample(1, generator)[0] for _ in range(4000)]
    shares = [names.count(name) / 4000 for name in "abc"]
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.03)


def test_a_single_source_draws_no_number():
    a, b = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    assert Mixture([(Named("a"), 0.3)]).sample(1, a) == Named("a").sample(1, b)


def test_a_mixture_knows_what_its_sources_could_not_read():
    mixture = Mixture([(Named("a"), 1.0), (Mixture([(Named("b"), 1.0)]), 1.0)])
    assert sorted(mixture.unreadable.values()) == ["a: damaged", "b: damaged"]


def test_the_command_line_and_a_file_describe_the_same_mixture(tmp_path):
    words = ["--out", "o", "--data.photos", "p", "--data.mixture", "worlds", "0.15", "homography", "0.85"]
    by_words = parse(Descriptor, words, "train")
    (tmp_path / "c.yaml").write_text("data:\n  mixture: {worlds: 0.15, homography: 0.85}\n")
    by_file = parse(Descriptor, ["--config", str(tmp_path / "c.yaml"), "--out", "o", "--data.photos", "p"], "train")
    assert by_words.data == by_file.data
    assert by_words.data.mixture == (("worlds", 0.15), ("homography", 0.85))


@pytest.mark.parametrize(
    ("mixture", "named"),
    [
        ((("words", 1.0),), "unknown source 'words'"),
        ((("homography", -1.0), ("worlds", 2.0)), "weight of homography"),
        ((("worlds", float("nan")),), "weight of worlds"),
        ((("worlds", 0.0),), "no source"),
        ((), "no source"),
        ((("worlds", 1.0), ("worlds", 2.0)), "named twice"),
    ],
)
def test_impossible_mixtures_are_refused(mixture, named):
    with pytest.raises(ConfigError, match=named):
        DataConfig(mixture=mixture)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("homography", "photos"),
        ("video", "videos"),
        ("rgbd", "rgbd.folders"),
        ("megadepth", "megadepth.root"),
        ("colmap", "colmap.workspaces"),
    ],
)
def test_a_source_without_its_path_is_refused_unless_its_weight_is_zero(source, path):
    with pytest.raises(ConfigError, match=f"source {source} .* set data.{path}"):
        DescriptorTraining(DataConfig(mixture=((source, 1.0),)), Path("o"))
    DescriptorTraining(DataConfig(mixture=((source, 0.0), ("worlds", 1.0))), Path("o"))


OWN = """
import torch
from traqpoint.data.source import needs

@needs("own")
class Grey:
    def __init__(self, data, device):
        self.level = float(data.option("level", "0.5"))

    def sample(self, batch_size, generator):
        return torch.full((batch_size,), self.level)

@needs("photos")
def of_photos(data, device):
    return Grey(data, device)

def nothing(data, device):
    return 7
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return str(tmp_path / "own.py")


def test_a_source_from_outside_is_one_name_and_gets_its_options(own):
    source = build_source(DataConfig(mixture=((f"{own}:Grey", 1.0),), own=(("level", "0.25"),)), "cpu")
    assert source.sample(3, torch.Generator()).tolist() == [0.25] * 3
    assert build_source(DataConfig(mixture=((f"{own}:Grey", 2.0),)), "cpu").sample(1, torch.Generator()) == 0.5


def test_what_is_wrong_with_a_source_from_outside_is_told_before_the_run(own):
    def training_on(name):
        return DescriptorTraining(DataConfig(mixture=((f"{own}:{name}", 1.0),)), Path("o"))

    with pytest.raises(ConfigError, match=r"own\.py has no 'Gray'"):
        training_on("Gray")
    with pytest.raises(ConfigError, match=r"own\.py:Grey .* set data\.own"):
        training_on("Grey")
    with pytest.raises(ConfigError, match=r"own\.py:of_photos .* set data\.photos"):
        training_on("of_photos")
    with pytest.raises(ConfigError, match="makes a int, which has no sample"):
        build_source(training_on("nothing").data, "cpu")
    with pytest.raises(ConfigError, match=r"give data\.own folder VALUE"):
        DataConfig().option("folder")


def test_homographies_and_worlds_read_their_photos_once(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr("traqpoint.data.photos.read_image", lambda path: (read.append(path), read_image(path))[1])
    config = DataConfig(pictures(tmp_path), (("worlds", 0.5), ("homography", 0.5)), homography=SMALL)
    source = build_source(config, "cpu")
    assert len(read) == 3 and len(source.sources[1][0].photos) == 3
    assert photos_once.cache_info().currsize == 0


def test_a_video_gives_homography_sequences_of_its_frames(tmp_path):
    rng = np.random.default_rng(0)
    write_film(tmp_path / "v.mp4", rng.integers(0, 255, (5, 64, 80, 3), dtype=np.uint8))
    folder = pictures(tmp_path / "frames")
    source = build_source(
        DataConfig(mixture=(("video", 1.0),), videos=(tmp_path / "v.mp4", folder), homography=SMALL), "cpu"
    )
    assert source.sample(2, torch.Generator().manual_seed(0)).images.shape == (2, 2, 3, 32, 32)
    assert len(source.sources[0][0].photos) == 8


def test_frames_of_a_long_video_are_kept_at_even_distances(tmp_path):
    write_film(tmp_path / "v.mp4", [np.full((64, 64, 3), 10 * i, np.uint8) for i in range(23)])
    kept = [round(float(frame.float().mean()) / 10) for frame in load_video_frames(tmp_path / "v.mp4", limit=6)]
    assert kept == [0, 4, 8, 12, 16, 20]
    shown = [float(f.float().mean()) for f in load_video_frames(pictures(tmp_path / "f", 9), limit=3)]
    assert len(shown) == 3


@pytest.mark.slow
def test_workers_give_one_result_whatever_their_number_and_whenever_interrupted(tmp_path):
    """Two workers straight to step 6 equal one worker that is stopped after step 3 and goes on with two."""
    photos = pictures(tmp_path / "photos")
    straight = train_descriptor(training(photos, tmp_path / "a", workers=2))

    def stop(step, stats):
        if step == 5:  # the last checkpoint was after step 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_descriptor(training(photos, tmp_path / "b", workers=1), stop)
    resumed = train_descriptor(training(photos, tmp_path / "b", workers=2))
    assert same(state(straight), state(resumed))
    lines = [[json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()] for run in "ab"]
    assert [line["loss"] for line in lines[0]] == [line["loss"] for line in lines[1]]
    assert all(line["unreadable"] == 0 for line in lines[0])


@pytest.mark.slow
def test_a_killed_worker_keeps_the_checkpoint_and_the_run_goes_on(tmp_path):
    photos = pictures(tmp_path / "photos")
    before = set(_children())

    def kill(step, stats):
        if step == 4:
            os.kill(next(pid for pid in _children() if pid not in before), signal.SIGKILL)

    with pytest.raises(DataError, match=r"data worker \d \(pid \d+\) was killed by SIGKILL"):
        train_descriptor(training(photos, tmp_path / "a", 12, workers=1), kill)
    resumed = train_descriptor(training(photos, tmp_path / "a", 12, workers=1))
    assert same(state(resumed), state(train_descriptor(training(photos, tmp_path / "b", 12, workers=1))))


def _children():
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


@pytest.mark.slow
def test_a_run_may_go_on_without_workers_and_is_the_same(tmp_path):
    photos = pictures(tmp_path / "photos")

    def stop(step, stats):
        if step == 5:  # the last checkpoint was after step 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_descriptor(training(photos, tmp_path / "a", 6, workers=1), stop)
    went_on = train_descriptor(training(photos, tmp_path / "a", 6, workers=0))
    assert same(state(went_on), state(train_descriptor(training(photos, tmp_path / "b", 6, workers=1))))


def test_negative_workers_are_refused():
    with pytest.raises(ConfigError, match="workers"):
        replace(LoopConfig(), workers=-1)
