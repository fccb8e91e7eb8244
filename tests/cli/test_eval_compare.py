"""``traqpoint eval compare``"""

import numpy as np
import pytest

from traqpoint.cli.main import main
from traqpoint.evaluation.result import Result


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
