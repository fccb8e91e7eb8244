"""Many methods, one benchmark: what is finished is not judged again, and nothing old passes for new."""

import dataclasses
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pytest
import torch

from traqpoint.errors import ConfigError, MissingDependencyError
from traqpoint.evaluation import Benchmark, Result, build_method, run_benchmark
from traqpoint.image import write_image
from traqpoint.types import Features


@dataclass(frozen=True)
class Config:
    name: str
    max_keypoints: int = 10
    long_side: int | None = None


class Named:
    """One keypoint in the middle."""

    def __init__(self, name, **options):
        self.config = Config(name, **options)

    def __call__(self, image):
        height, width = image.shape[:2]
        return Features(torch.tensor([[width / 2, height / 2]]), torch.ones(1), torch.eye(1), (width, height))


class Counter:
    """What was done, in order; the methods in `broken` break it off."""

    def __init__(self):
        self.done, self.broken = [], ()


@dataclass(frozen=True, kw_only=True)
class Counting(Benchmark):
    """Counts keypoints, times a factor."""

    kind: ClassVar[str] = "count"
    sweep: ClassVar[str] = "factors"
    factors: tuple[str, ...] = ("1",)

    @cached_property
    def data(self):
        raise AssertionError("given by on()")

    def inputs(self):
        return self.data[1], []

    def predict(self, method, out=None, progress=None):
        self.data[0].done.append(f"predict {method.config.name}")
        if method.config.name in self.data[0].broken:
            raise KeyboardInterrupt
        return super().predict(method, out, progress)

    def score(self, found, variant="", out=None, progress=None):
        self.data[0].done.append(f"score {found.method} {variant}")
        count = len(found.features.read("a.png")) * int(variant)
        return Result("count", found.method, {"points": count}, {"x": np.zeros(2)}, {"dataset": "noise"})

    def draw(self, results, folder, title):
        (folder / "drawn.txt").write_text(f"{title}: {len(results)}")


@pytest.fixture
def make(tmp_path):
    """(counter, benchmark) on one picture of noise."""
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    write_image(tmp_path / "photos" / "a.png", image)

    def make(**options):
        counter = Counter()
        return counter, Counting(**options).on((counter, {"a.png": tmp_path / "photos" / "a.png"}))

    return make


def test_each_method_has_its_folder_and_all_are_in_the_table_and_the_picture(make, tmp_path):
    out = tmp_path / "out"
    tables = run_benchmark(make()[1], [Named("A"), Named("B")], out)
    assert [r.method for r in tables["1"]] == ["A", "B"]
    assert Result.load(out / "1/B/result.json").stats == {"points": 1.0}
    assert "| A |" in (out / "1/table.md").read_text() and "| B |" in (out / "1/table.md").read_text()
    assert (out / "1/drawn.txt").read_text() == "1: 2"
    assert sorted(path.name for path in (out / "predictions").iterdir()) == ["A", "B"]


def test_variants_are_scored_from_the_same_predictions_and_each_has_a_table(make, tmp_path):
    counter, benchmark = make(factors=("1", "3"))
    tables = run_benchmark(benchmark, [Named("A")], tmp_path / "out")
    assert {variant: results[0].stats["points"] for variant, results in tables.items()} == {"1": 1, "3": 3}
    assert counter.done == ["predict A", "score A 1", "score A 3"]
    with pytest.raises(ConfigError, match="1, 3 have a result each"):
        benchmark.judge(Named("A"))


def test_finished_variants_and_methods_are_loaded_and_predict_nothing(make, tmp_path):
    run_benchmark(make()[1], [Named("A")], tmp_path / "out")
    counter, benchmark = make(factors=("1", "2"))
    run_benchmark(benchmark, [Named("A"), Named("B")], tmp_path / "out")
    assert counter.done == ["predict A", "score A 2", "predict B", "score B 1", "score B 2"]
    counter, benchmark = make(factors=("1", "2"))
    run_benchmark(benchmark, [Named("A"), Named("B")], tmp_path / "out")
    assert counter.done == []


@pytest.mark.parametrize("options", [{"seed": 1}, {"long_side": 64}])
def test_other_settings_are_judged_again(make, tmp_path, options):
    run_benchmark(make()[1], [Named("A")], tmp_path / "out")
    counter, benchmark = make(**options)
    run_benchmark(benchmark, [Named("A")], tmp_path / "out")
    assert counter.done == ["predict A", "score A 1"]


def test_another_method_of_the_same_name_is_not_mixed_in(make, tmp_path):
    run_benchmark(make()[1], [Named("A")], tmp_path / "out")
    with pytest.raises(ConfigError, match="max_keypoints: 10 there, 5 here"):
        run_benchmark(make()[1], [Named("A", max_keypoints=5)], tmp_path / "out")


def test_a_run_that_broke_off_goes_on_where_it_was(make, tmp_path):
    counter, benchmark = make()
    counter.broken = ["B"]
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(benchmark, [Named("A"), Named("B")], tmp_path / "out")
    counter, benchmark = make()
    run_benchmark(benchmark, [Named("A"), Named("B")], tmp_path / "out")
    assert counter.done == ["predict B", "score B 1"]


def test_without_a_folder_nothing_is_written_and_the_numbers_are_the_same(make, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    found = run_benchmark(make()[1], ["SIFT", Named("A")])
    assert sorted(tmp_path.rglob("*")) == before
    kept = run_benchmark(make()[1], ["SIFT", Named("A")], tmp_path / "out")
    assert [r.stats for r in found["1"]] == [r.stats for r in kept["1"]]
    assert make()[1].judge(build_method("SIFT", 2048)).stats == found["1"][0].stats


def test_any_function_of_an_image_can_be_judged(make):
    def mine(image):
        return Features(torch.rand(7, 2), torch.ones(7), torch.eye(7), (image.shape[2], image.shape[1]))

    assert make(max_keypoints=5)[1].judge(mine).stats["points"] == 5
    (result,) = run_benchmark(make(max_keypoints=5)[1], [mine])["1"]
    assert result.method == "mine" and result.stats["points"] == 5


def test_names_are_built_to_the_benchmarks_limits(make):
    (result,) = run_benchmark(make(max_keypoints=20)[1], ["ORB"])["1"]
    assert 0 < result.stats["points"] <= 20


def test_each_method_has_a_bar(make):
    seen = []

    @contextmanager
    def bar(what):
        seen.append(what)
        yield lambda done, total: seen.append((done, total))

    run_benchmark(make()[1], [Named("A")], bar=bar)
    assert seen == ["A", (1, 1)]


def test_two_methods_of_the_same_name_or_none_are_refused(make):
    with pytest.raises(ConfigError, match="two methods are called A"):
        run_benchmark(make()[1], [Named("A"), Named("A")])
    with pytest.raises(ConfigError, match="at least one method"):
        run_benchmark(make()[1], [])


def test_numbers_do_not_fail_for_want_of_a_picture(make, tmp_path, monkeypatch):
    def missing(self, results, folder, title):
        raise MissingDependencyError("no matplotlib")

    monkeypatch.setattr(Counting, "draw", missing)
    with pytest.warns(UserWarning, match="no plot: no matplotlib"):
        run_benchmark(make()[1], [Named("A")], tmp_path / "out")


def test_settings_are_the_benchmarks_own_fields_whatever_inherits_them(make):
    @dataclass(frozen=True, kw_only=True)
    class Verb(Counting):
        out: str = "somewhere"

    assert Verb(seed=3).settings("1") == Counting(seed=3).settings("1") != Counting().settings("1")
    assert "out" not in Verb().settings("1") and Counting(factors=("1", "2")).settings("2")["factors"] == ["2"]
    assert dataclasses.replace(Verb(), out="elsewhere").settings("1") == Verb().settings("1")
