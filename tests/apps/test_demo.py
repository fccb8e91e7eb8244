"""The demo on a short flight with an untrained network: truth of its scenes, files, numbers, tables and bad input."""

import json
import sys
from dataclasses import asdict, replace

import pytest
import torch
from rich.console import Console

from traqpoint.apps import demo
from traqpoint.apps.demo_pictures import captioned, draw_pair, pixels
from traqpoint.apps.demo_scenes import FLIGHT, camera_flight, motorcycle
from traqpoint.apps.demo_tables import demo_tables
from traqpoint.cli.main import main
from traqpoint.errors import DataError, MissingDependencyError
from traqpoint.evaluation.metrics.video_tracks import video_track_scores
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sampling import sample
from traqpoint.image import read_image
from traqpoint.inference.extractor import Extractor
from traqpoint.io.video import read_frames
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.types import Features

pytest.importorskip("skimage")
SHORT = replace(FLIGHT, image_size=(160, 120), num_frames=5, texture_size=128)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    torch.manual_seed(0)
    return Extractor(TraqPoint(), max_keypoints=200, prominence=0.0, device="cpu")


@pytest.fixture(scope="module")
def finished(extractor, tmp_path_factory):
    """A folder with a file of an earlier run, and what the demo reports and leaves in it."""
    out = tmp_path_factory.mktemp("demo")
    (out / "report.json").write_text("old")
    calls = []
    report = demo.run_demo(extractor, out, SHORT, lambda done, total: calls.append((done, total)))
    return out, report, calls


def colour_error(sequence, source, target, offset=(0.0, 0.0)) -> float:
    """Median difference of colours between points and their warped places, moved by `offset`."""
    height, width = sequence.images.shape[-2:]
    xy = pixel_grid(height, width, 2)[None]
    warped = sequence.geometry.warp(source, target, xy)
    seen = warped.visible[0]
    a = sample(sequence.images[:, source], xy, (width, height))[0, seen]
    b = sample(sequence.images[:, target], warped.xy + torch.tensor(offset), (width, height))[0, seen]
    return float((a - b).abs().mean(-1).mean())


def test_the_motorcycle_shows_the_same_colours_where_the_truth_says():
    """Half a pixel to either side, or a row up, fits worse: sign, units and pixel convention are right."""
    pair = motorcycle()
    error = colour_error(pair, 0, 1)
    assert error < 0.05
    for offset in ((0.5, 0.0), (-0.5, 0.0), (0.0, 1.0), (0.0, -1.0)):
        assert colour_error(pair, 0, 1, offset) > error


def test_the_flight_shows_the_same_colours_where_the_truth_says():
    """Without changes of light, what is visible in two frames has one colour, and the flight goes somewhere."""
    scene = camera_flight(replace(SHORT, photometric=0.0))
    error = colour_error(scene, 0, 4)
    assert error < 0.06
    for offset in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        assert colour_error(scene, 0, 4, offset) > error
    centre = torch.tensor([[[30.0, 60.0], [130.0, 60.0]]])
    assert (scene.geometry.warp(0, 4, centre).xy - centre).norm(dim=-1).max() > 5


def test_every_file_is_there_whole_and_nothing_else(finished):
    """Three methods in each picture, every frame in the video, no half-written file, the old report replaced."""
    out, report, _ = finished
    assert {path.name for path in out.iterdir()} == set(demo.FILES)
    assert read_image(out / "motorcycle_matches.png").shape == (3 * (500 + 34), 2 * 741, 3)
    assert read_image(out / "flight_tracks.png").shape == (120 + 34, 3 * 160, 3)
    assert len(list(read_frames(out / "flight_tracks.webm"))) == 5
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(asdict(report)))


def test_the_report_holds_every_method_and_its_protocol(finished):
    """Shares lie in [0, 1], correct matches are matches, and what was compared can be read from the file."""
    _, report, _ = finished
    for rows in (report.motorcycle, report.flight):
        assert list(rows) == ["TraqPoint", "SIFT", "ORB"]
        for row in rows.values():
            assert 0 < row["keypoints"] <= 200 and row["ms_per_frame"] > 0
            assert 0 <= row["correct_matches"] <= row["matches"] <= 200
            assert 0 <= row["precision"] <= 1 and 0 <= row["completeness"] <= 1
            assert row["localization_px"] is None or 0 <= row["localization_px"] < demo.THRESHOLD_PX
    assert all(1 <= row["track_length"] <= 5 for row in report.flight.values())
    assert all(row["tracks"] > 0 and 1 <= row["mean_length"] <= 5 for row in report.tracker.values())
    protocol = report.protocol
    assert protocol["max_keypoints"] == 200 and protocol["threshold_px"] == demo.THRESHOLD_PX
    assert protocol["flight"]["num_frames"] == 5 and protocol["flight"]["seed"] == 16
    assert set(protocol["versions"]) == {"traqpoint", "torch", "opencv", "scikit-image", "python"}
    assert protocol["hardware"]["torch_threads"] >= 1


def test_sift_scores_on_the_motorcycle_are_plausible(finished):
    """A method that is known to work finds most of its matches near the truth: the scores measure what they should."""
    sift = finished[1].motorcycle["SIFT"]
    assert sift["precision"] > 0.5 and sift["localization_px"] < 1


def test_progress_runs_to_its_end(finished):
    """One call per frame extracted or drawn, the last one with everything done."""
    calls = finished[2]
    total = 3 * (2 + 5) + 5
    assert calls == [(i, total) for i in range(1, total + 1)]


def test_the_tables_fit_a_narrow_terminal(finished):
    """Every method and heading in full within 80 columns."""
    console = Console(width=80)
    with console.capture() as capture:
        console.print(*demo_tables(finished[1]))
    text = capture.get()
    assert "…" not in text and len(text.splitlines()) < 40 and max(map(len, text.splitlines())) <= 80
    for word in ("TraqPoint", "SIFT", "ORB", "keypoints", "correct", "precision", "complete", "error px", "ms/frame"):
        assert word in text


def test_a_method_without_a_correct_match_has_no_error_to_show(finished):
    """None becomes a dash and never the best value."""
    broken = replace(
        finished[1], motorcycle={**finished[1].motorcycle, "ORB": dict.fromkeys(finished[1].motorcycle["ORB"])}
    )
    console = Console(width=100)
    with console.capture() as capture:
        console.print(demo_tables(broken)[0])
    assert next(line for line in capture.get().splitlines() if "ORB" in line).split()[1:] == ["-"] * 6


def test_windows_cover_the_flight_and_a_perfect_method_is_perfect():
    """Points at their true places, told apart by their descriptors, are all found in every frame that sees them."""
    scene = camera_flight(replace(SHORT, image_size=(64, 48), num_frames=23, photometric=0.0))
    first = pixel_grid(48, 64, 8)
    features = []
    for frame in range(23):
        start = min(frame // 10 * 10, 10)
        xy = scene.geometry.warp(start, frame, first[None]).xy[0] if frame != start else first
        features.append(Features(xy.nan_to_num(-1e3), torch.ones(len(xy)), torch.eye(len(xy)), (64, 48)))
    scores = demo._windows(features, scene)
    assert scores.references == 2 and scores.keypoints == 2 * len(first)
    assert scores.found == scores.visible > 0 and scores.summary()["localization_px"] < 1e-3


def test_a_caption_stands_above_the_image():
    """The picture below it is unchanged, and long text is made to fit."""
    image = pixels(torch.rand(3, 20, 120, generator=torch.Generator().manual_seed(0)))
    out = captioned(image, "a caption that is far too long for a narrow picture")
    assert (out[34:] == image).all() and out.shape == (54, 120, 3)
    assert (out[:34, 115:] == out[0, 0]).all() and (out[:34] != out[0, 0]).any()


def test_scikit_image_missing_is_one_line_with_the_command(extractor, tmp_path, monkeypatch):
    """Said before anything is computed or written."""
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'traqpoint\[demo\]'"):
        demo.run_demo(extractor, tmp_path / "out", SHORT)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_named(extractor, tmp_path):
    """The file stays as it is."""
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataError, match="out: cannot be used as a folder"):
        demo.run_demo(extractor, tmp_path / "out", SHORT)
    assert (tmp_path / "out").read_text() == "mine"


def test_no_keypoints_are_a_result_too():
    """Empty features are scored, drawn and tabulated: zeros, and no error of localization."""
    scene = camera_flight(replace(SHORT, image_size=(64, 48), num_frames=2))
    nothing = [Features(torch.empty(0, 2), torch.empty(0), torch.empty(0, 8), (64, 48))] * 2
    row = demo._row(demo._windows(nothing, scene), demo._Extracted(nothing, 1.0), lengths=True)
    assert row["keypoints"] == row["matches"] == row["completeness"] == 0 and row["localization_px"] is None
    assert draw_pair(nothing, scene, 3.0).shape == (48, 128, 3)
    scores = video_track_scores(demo._track(nothing), scene.geometry)
    assert scores.tracks == scores.mean_length == 0


def test_the_verb_prints_tables_and_files(finished, tmp_path, monkeypatch, capsys):
    """Options arrive in the extractor; tables first, then one line per file, exit code 0."""
    weights = tmp_path / "untrained.safetensors"
    TraqPoint().save_pretrained(weights)
    calls = []
    monkeypatch.setattr(demo, "run_demo", lambda e, out, progress: calls.append((e.config, out)) or finished[1])
    assert main(["demo", "--weights", str(weights), "--out", str(tmp_path), "--max-keypoints", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Motorcycle" in lines[0] and lines[-4:] == [str(tmp_path / name) for name in demo.FILES]
    assert calls[0][0].max_keypoints == 50 and calls[0][0].weights == str(weights) and calls[0][1] == tmp_path


def test_unknown_weights_are_one_line(tmp_path, capsys):
    """Exit code 1, nothing written."""
    assert main(["demo", "--weights", "no-such-weights", "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err.strip()
    assert "no-such-weights" in error and len(error.splitlines()) == 1 and not (tmp_path / "out").exists()
