"""``traqpoint eval compare``, and the options that all benchmarks share."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from traqpoint.cli.evaluate import Evaluation, Localization, Pose, Sfm, Tracks
from traqpoint.cli.main import main
from traqpoint.cli.options import parse
from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.evaluation.methods.method import build_method
from traqpoint.evaluation.result import Result
from traqpoint.image import write_image
from traqpoint.matching.config import MatcherConfig, MutualConfig


@pytest.fixture
def results(tmp_path):
    for name, threshold in (("SIFT", 1.0), ("ORB", 1.0), ("strict", 0.5)):
        protocol = {"dataset": "castle", "estimator": "essential", "threshold_px": threshold}
        Result("pose", name, {"auc_5": 0.5, "inliers": 10}, {"e": np.zeros(1)}, protocol).save(
            tmp_path / name / "result.json"
        )
    return tmp_path


def test_files_and_folders_are_put_side_by_side(results, capsys):
    assert main(["eval", "compare", str(results / "SIFT/result.json"), str(results / "ORB")]) == 0
    out = capsys.readouterr().out
    assert "pose · castle · essential" in out
    assert "| SIFT |" in out and "| ORB |" in out


def test_other_protocols_are_one_line_of_error_unless_mixed(results, capsys):
    files = [str(results / "SIFT"), str(results / "strict")]
    assert main(["eval", "compare", *files]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and "threshold_px: 1.0 (SIFT), 0.5 (strict)" in captured.err
    assert main(["eval", "compare", *files, "--mix"]) == 0
    assert "Protocols differ" in capsys.readouterr().out


def test_columns_are_chosen(results, capsys):
    assert main(["eval", "compare", str(results / "SIFT"), "--columns", "inliers"]) == 0
    out = capsys.readouterr().out
    assert "| method | inliers |" in out


def test_a_file_that_is_not_there_is_one_line(tmp_path, capsys):
    assert main(["eval", "compare", str(tmp_path / "nothing.json")]) == 1
    assert capsys.readouterr().err == f"traqpoint: error: {tmp_path / 'nothing.json'}: no such file\n"


def test_no_results_are_a_wrong_usage(capsys):
    assert main(["eval", "compare"]) != 0
    assert capsys.readouterr().err.count("\n") == 1


@dataclass(frozen=True, kw_only=True)
class Count(Benchmark):
    """A benchmark that counts keypoints."""

    kind: ClassVar[str] = "count"

    def inputs(self):
        return self.data, []

    def score(self, found, variant="", out=None, progress=None):
        points = len(found.features.read("a.png"))
        return Result("count", found.method, {"points": points}, {}, {"dataset": "noise", "matcher": self.matcher})


@dataclass(frozen=True, kw_only=True)
class Verb(Count, Evaluation):
    """The same as a verb."""


@pytest.fixture
def picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    write_image(tmp_path / "photos" / "a.png", image)
    return tmp_path / "photos" / "a.png"


def test_a_benchmark_runs_all_methods_under_the_same_options_and_prints_their_table(picture, tmp_path, capsys):
    options = ["--out", str(tmp_path / "out"), "--methods", "SIFT", "ORB", "--max-keypoints", "20"]
    verb = parse(Verb, [*options, "--matcher.mutual.max-ratio", "0.9"], "traqpoint eval count")
    assert verb.matcher == MatcherConfig(mutual=MutualConfig(max_ratio=0.9))
    assert verb.on({"a.png": picture}).run() == 0
    table = capsys.readouterr().out
    assert table.startswith("**count · noise**")
    assert (tmp_path / "out/table.md").read_text() == table
    points = Result.load(tmp_path / "out/ORB/result.json").stats["points"]
    assert points == len(build_method("ORB", 20)(picture)) > 0


def test_the_settings_hold_what_numbers_depend_on_and_not_where_they_go(tmp_path):
    one = parse(Verb, ["--out", str(tmp_path / "a"), "--methods", "SIFT", "--device", "cpu"], "eval")
    two = parse(Verb, ["--out", str(tmp_path / "b"), "--methods", "ORB"], "eval")
    seeded = parse(Verb, ["--out", str(tmp_path / "a"), "--methods", "SIFT", "--seed", "3"], "eval")
    assert one.settings("") == two.settings("") != seeded.settings("")
    places = (parse(Pose, ["truth", "--out", str(tmp_path / name)], "eval").settings("") for name in "ab")
    assert next(places) == next(places)


@pytest.mark.parametrize(
    ("kind", "option", "words"),
    [
        (Pose, "PATH", "A text list in SuperGlue's format"),
        (Pose, "--shuffles", "random orders of the matches"),
        (Localization, "PATH", "Folder that the model's image names start from"),
        (Tracks, "--methods", "module:build"),
        (Sfm, "--pairs", "exhaustive"),
    ],
)
def test_the_help_is_that_of_the_benchmark(kind, option, words, capsys):
    with pytest.raises(SystemExit):
        parse(kind, ["--help"], "traqpoint eval")
    shown = capsys.readouterr().out
    text = " ".join(shown.replace("│", " ").split())
    assert option in shown and words in text
    assert " ".join(kind.__mro__[1].__doc__.split())[:60] in text
