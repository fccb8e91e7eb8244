"""Numbers keep their protocol: on disk, in tables and in comparisons."""

import dataclasses
import math

import numpy as np
import pytest

from traqpoint.errors import ConfigError, FormatError
from traqpoint.evaluation.result import Result, compare, direction, markdown_table, text_table

PROTOCOL = {
    "dataset": {"name": "castle", "pairs": 171},
    "estimator": "poselib LO-RANSAC",
    "threshold_px": 1.0,
    "matcher": {"method": "mutual", "max_ratio": None},
    "extractor": {"name": "SIFT"},
}


def result(method="SIFT", stats=None, notes=(), **protocol) -> Result:
    stats = stats or {"auc_5": 0.5, "rotation_deg": 2.0, "keypoints": 2048.0}
    arrays = {"error_deg": np.array([1.0, np.inf, np.nan]), "name": np.array(["a", "bc"])}
    return Result("pose", method, stats, arrays, {**PROTOCOL, "extractor": {"name": method}, **protocol}, notes)


def row(table: str, method: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {method} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_result_comes_back_as_it_was(tmp_path):
    saved = result(stats={"auc_5": 0.5, "undefined": math.nan, "unbounded": math.inf}, notes=("2 pairs failed",))
    saved.save(tmp_path / "deep/result.json")
    loaded = Result.load(tmp_path / "deep/result.json")
    assert loaded.stats["auc_5"] == 0.5
    assert math.isnan(loaded.stats["undefined"]) and math.isinf(loaded.stats["unbounded"])
    assert (loaded.benchmark, loaded.method, loaded.notes) == ("pose", "SIFT", ("2 pairs failed",))
    assert loaded.protocol == saved.protocol
    np.testing.assert_array_equal(loaded.arrays["error_deg"], saved.arrays["error_deg"])
    assert loaded.arrays["name"].tolist() == ["a", "bc"]
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["result.json", "result.npz"]


def test_who_is_killed_while_saving_leaves_no_result_with_other_arrays(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    result().save(path)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("traqpoint.evaluation.result.json.dumps", killed)
        with pytest.raises(KeyboardInterrupt):
            dataclasses.replace(result(), arrays={"other": np.zeros(1)}).save(path)
    with pytest.raises(FormatError, match="no such file"):
        Result.load(path)


@pytest.mark.parametrize("text", ["", "[]", '{"stats": {}}', '{"stats": {"a": "x"}}', '{"stats": 3}'])
def test_a_file_that_is_no_result_is_told(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(FormatError, match=r"result\.json: not a result"):
        Result.load(tmp_path / "result.json")


def test_lost_or_damaged_arrays_are_told(tmp_path):
    result().save(tmp_path / "result.json")
    (tmp_path / "result.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(FormatError, match=r"result\.npz"):
        Result.load(tmp_path / "result.json")
    (tmp_path / "result.npz").unlink()
    with pytest.raises(FormatError, match=r"result\.npz"):
        Result.load(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("metric", "sense"),
    [
        ("auc_5", 1),
        ("inliers", 1),
        ("precision", 1),
        ("track_length", 1),
        ("registered", 1),
        ("repeatability", 1),
        ("mma_3px", 1),
        ("ate_m", -1),
        ("reprojection_px", -1),
        ("rotation_error_deg", -1),
        ("rpe_translation_percent", -1),
        ("failures", -1),
        ("keypoints", 0),
        ("auc_5_std", 0),
        ("completeness_low", 0),
        ("segment_rotation_deg_per_m", -1),
        ("centre_error_median", -1),
        ("matching_score", 1),
        ("failed", -1),
        ("pairs", 0),
    ],
)
def test_which_way_is_better(metric, sense):
    assert direction(metric) == sense


def test_the_best_value_of_a_column_is_bold_whosever_it_is():
    ours = result("traqpoint-s", {"auc_5": 0.61, "rotation_deg": 2.5, "keypoints": 2048})
    sift = result("SIFT", {"auc_5": 0.5, "rotation_deg": 1.5, "keypoints": 1900})
    table = markdown_table([ours, sift])
    assert row(table, "traqpoint-s") == ["**0.61**", "2.5", "2048"]
    assert row(table, "SIFT") == ["0.5", "**1.5**", "1900"]


def test_the_smallest_error_of_fewer_images_is_not_the_best():
    """ORB on castle-P19: 12 of 19 images, and the smallest error of all."""
    rows = {"A": (19.0, 0.12, 5.0), "B": (19.0, 0.28, 4.0), "ORB": (12.0, 0.079, 6.0)}
    names = ("registered", "rotation_error_median_deg", "mean_track_length")
    table = markdown_table([result(label, dict(zip(names, row, strict=True))) for label, row in rows.items()])
    assert row(table, "A") == ["**19**", "**0.12**", "5"] and row(table, "B") == ["**19**", "0.28", "4"]
    assert row(table, "ORB") == ["12", "0.079", "**6**"]


def test_settings_that_are_not_given_are_not_printed():
    assert "metres" not in markdown_table([result(metres_per_unit=None)])


def test_undefined_values_are_dashes_and_never_best():
    table = markdown_table([result("A", {"ate_m": math.nan}), result("B", {"ate_m": 2.0}), result("C", {"auc_5": 1.0})])
    assert row(table, "A") == ["-", "-"]
    assert row(table, "B") == ["**2**", "-"]


def test_the_title_names_data_set_and_estimator():
    title = markdown_table([result()]).splitlines()[0]
    assert title == "**pose · castle (pairs 171) · poselib LO-RANSAC**"
    detailed = result(
        dataset={"name": "photos", "sequences": 20, "zoom": 1.2}, estimator={"kind": "x", "confidence": 0.99999}
    )
    title = markdown_table([detailed]).splitlines()[0]
    assert title == "**pose · photos (sequences 20) · kind x, confidence 0.99999**"


def test_the_protocol_and_the_failures_stand_below():
    table = markdown_table([result(notes=("3 of 171 pairs failed",)), result("ORB")])
    assert "Protocol: dataset castle (pairs 171); estimator poselib LO-RANSAC; threshold_px 1; matcher" in table
    assert "- SIFT: 3 of 171 pairs failed" in table


def test_results_of_different_methods_are_compared():
    assert "| ORB |" in compare([result("SIFT"), result("ORB")])


def test_different_protocols_are_refused_with_both_values():
    strict = result("ORB", threshold_px=0.5, matcher={"method": "mutual", "max_ratio": 0.9})
    with pytest.raises(ConfigError) as error:
        compare([result("SIFT"), strict])
    assert "threshold_px: 1.0 (SIFT), 0.5 (ORB)" in str(error.value)
    assert "matcher.max_ratio: None (SIFT), 0.9 (ORB)" in str(error.value)
    assert "extractor" not in str(error.value)
    table = compare([result("SIFT"), strict], mix=True)
    assert "Protocols differ: threshold_px: 1.0 (SIFT), 0.5 (ORB)" in table
    assert "threshold_px 1;" not in table.split("Protocol: ")[1]


def test_a_field_that_only_one_protocol_states_differs():
    with pytest.raises(ConfigError, match=r"seed: not stated \(SIFT\), 3 \(ORB\)"):
        compare([result("SIFT"), result("ORB", seed=3)])


def test_different_benchmarks_are_never_compared():
    with pytest.raises(ConfigError, match="pose, vo"):
        compare([result(), dataclasses.replace(result("ORB"), benchmark="vo")], mix=True)


def test_columns_can_be_chosen():
    table = compare([result("SIFT"), result("ORB")], columns=["keypoints"])
    assert row(table, "SIFT") == ["2048"]


def test_unknown_columns_are_refused():
    with pytest.raises(ConfigError, match=r"auc_7; there are auc_5"):
        compare([result()], columns=["auc_7"])


def test_a_terminal_gets_a_row_per_number_and_as_many_methods_side_by_side_as_fit():
    numbers = {f"a_rather_long_metric_{i}": 10.0 * i for i in range(12)}
    results = [
        Result("pose", name, {**numbers, "auc_5": value}, {}, {"dataset": "a scene with words " * 9})
        for name, value in (("traqpoint-s", 0.8), ("SIFT", 0.7), ("ALIKED-N16", 0.6), ("EdgePoint2-M64", 0.5))
    ]
    for width in (60, 80, 100):
        text = text_table(results, width=width)
        assert max(map(len, text.splitlines()[1:])) <= width
        assert all(f"a_rather_long_metric_{i} " in text for i in range(12))
        assert next(line.split() for line in text.splitlines() if line.startswith("auc_5"))[1] == "*0.8"
    assert sum(line.startswith("auc_5") for line in text_table(results, width=80).splitlines()) == 1
    assert sum(line.startswith("auc_5") for line in text_table(results, width=60).splitlines()) == 2
