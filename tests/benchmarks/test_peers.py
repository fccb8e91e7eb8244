"""benchmarks/peers.py: a table of benchmarks that goes on when a part of it fails."""

import json
from pathlib import Path

import pytest
from random_inputs import write_pan

from traqpoint.evaluation.benchmark import Benchmark

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers

    return peers


@pytest.fixture
def data(tmp_path):
    """One plane, shifted by three pixels; everything else is missing."""
    folder = write_pan(tmp_path / "data" / "homography" / "v_dogman", 2, first=1)
    (folder / "H_1_2").write_text("1 0 -3\n0 1 0\n0 0 1\n")
    return tmp_path / "data"


@pytest.mark.slow
def test_what_fails_is_told_at_the_end_and_the_rest_is_in_the_tables(peers, data, tmp_path, capsys):
    out = tmp_path / "out"
    options = peers.Options(
        data=data, out=out, methods=("SIFT", "ORB", "nobody"), only=("homography", "pose-castle"), device="cpu"
    )
    assert peers.main(options) == 1
    report = capsys.readouterr().out
    assert (out / "tables.md").read_text() == report
    assert "| SIFT |" in report and "| ORB |" in report and "FAILED nobody: nobody: no such method" in report
    assert "FAILED pose-castle-P19, SIFT: " in report
    content = json.loads((out / "results" / "homography-v_dogman-opencv-ransac.json").read_text())
    assert list(content["rows"]) == ["SIFT", "ORB"] and content["protocol"]["max_keypoints"] == 1024
    assert (out / "homography-v_dogman" / "opencv-ransac" / "plot.png").is_file()


def test_the_table_is_of_benchmarks_and_every_kind_has_its_columns(peers, tmp_path):
    table = peers.benchmarks(peers.Options(data=tmp_path, out=tmp_path))
    assert all(isinstance(benchmark, Benchmark) for benchmark in table.values())
    assert {benchmark.kind for benchmark in table.values()} == set(peers.COLUMNS)
    assert all(benchmark.max_keypoints == 1024 for benchmark in table.values())
