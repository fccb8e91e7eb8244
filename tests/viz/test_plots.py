"""Plots: what is drawn, and that one method looks the same everywhere."""

from itertools import pairwise

import numpy as np
import pytest

from traqpoint.errors import DataError
from traqpoint.image import read_image
from traqpoint.viz import plots
from traqpoint.viz.plots import method_colours, plot_bars, plot_cumulative_errors, plot_curves, plot_survival

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'traqpoint[viz]'")
METHODS = ["traqpoint-s", "SIFT", "RootSIFT", "ORB", "AKAZE", "XFeat", "ALIKED-T16", "ALIKED-N16", "DISK"]


@pytest.fixture
def drawn(monkeypatch):
    """The axes of the plots that a test draws."""
    seen = []
    write = plots._write

    def spy(path, labels, xlabel, ylabel, title, draw):
        write(path, labels, xlabel, ylabel, title, lambda axes, colours: (seen.append(axes), draw(axes, colours)))

    monkeypatch.setattr(plots, "_write", spy)
    return seen


def test_every_method_has_its_own_colour_which_does_not_depend_on_the_others():
    colours = method_colours(METHODS)
    assert len(set(colours.values())) == len(METHODS)
    assert method_colours(["DISK", "mine"])["DISK"] == colours["DISK"]
    assert len(set(method_colours(["mine-a", "mine-b"]).values())) == 2


def test_whoever_is_unknown_is_not_drawn_as_ours(tmp_path, drawn):
    names = ["traqpoint-s", "TraqPoint", "stranger", "another", *METHODS[1:]]
    colours = method_colours(names)
    assert len(set(colours.values())) == len(names)
    assert method_colours(["stranger", "traqpoint-s"])["traqpoint-s"] == method_colours(METHODS)["traqpoint-s"]
    plot_curves({name: (np.arange(2), np.arange(2)) for name in names}, tmp_path / "c.png", "x", "y")
    widths = {line.get_label(): line.get_linewidth() for line in drawn[0].get_lines()}
    assert widths["traqpoint-s"] == widths["TraqPoint"] > widths["stranger"] == widths["SIFT"]


def test_curves_are_drawn_with_ours_on_top(tmp_path, drawn):
    x = np.arange(5.0)
    plot_curves({name: (x, x * i) for i, name in enumerate(METHODS)}, tmp_path / "a/curves.png", "x", "y", "title")
    lines = {line.get_label(): line for line in drawn[0].get_lines()}
    assert list(lines) == METHODS
    np.testing.assert_array_equal(lines["ORB"].get_ydata(), 3 * x)
    assert lines["traqpoint-s"].get_zorder() > max(lines[name].get_zorder() for name in METHODS[1:])
    image = read_image(tmp_path / "a/curves.png")
    assert image.shape == (560, 1008, 3)
    # The colour of ours is in the picture.
    rgb = [int(method_colours(METHODS)["traqpoint-s"][i : i + 2], 16) for i in (1, 3, 5)]
    assert (np.abs(image.astype(int) - rgb).max(-1) < 8).sum() > 200


def test_the_curve_of_cumulative_errors_counts_failures_among_all(tmp_path, drawn):
    plot_cumulative_errors({"SIFT": np.array([1.0, 3.0, np.nan, np.inf])}, tmp_path / "c.png", 4, "degrees")
    x, y = drawn[0].get_lines()[0].get_data()
    np.testing.assert_allclose(np.interp([0.5, 2.0, 4.0], x, y), [0, 0.25, 0.5])


def test_the_curve_of_survival_is_the_share_of_tracks_that_are_at_least_so_long(tmp_path, drawn):
    plot_survival({"SIFT": np.array([1, 2, 2, 4]), "ORB": np.array([], dtype=int)}, tmp_path / "s.png", "frames")
    sift, orb = drawn[0].get_lines()
    np.testing.assert_array_equal(sift.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_allclose(sift.get_ydata(), [1, 0.75, 0.25, 0.25])
    np.testing.assert_allclose(orb.get_ydata(), 0)


def test_frames_have_whole_numbers_on_the_axis(tmp_path, drawn):
    plot_curves({"SIFT": (np.arange(1, 5), np.ones(4))}, tmp_path / "c.png", "frames", "share")
    plot_curves({"SIFT": (np.linspace(1, 4, 4), np.ones(4))}, tmp_path / "c.png", "px", "share")
    whole, any_ = (axes.get_xticks() for axes in drawn)
    assert (whole % 1 == 0).all() and (any_ % 1 != 0).any()


def test_bars_stand_side_by_side_and_do_not_overlap(tmp_path, drawn):
    plot_bars(["2", "3+"], {"SIFT": [1.0, 2.0], "ORB": [3.0, np.nan]}, tmp_path / "b.png", "tracks")
    bars = sorted(drawn[0].patches, key=lambda bar: bar.get_x())
    assert [bar.get_height() for bar in bars[:3]] == [1.0, 3.0, 2.0]
    for left, right in pairwise(bars):
        assert left.get_x() + left.get_width() <= right.get_x()


def test_the_callers_own_figures_are_left_alone(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    plot_bars(["all"], {"SIFT": [1.0]}, tmp_path / "b.png", "tracks")
    assert pyplot.get_fignums() == []


def test_what_cannot_be_drawn_is_told(tmp_path):
    with pytest.raises(DataError, match="nothing to plot"):
        plot_curves({}, tmp_path / "c.png", "x", "y")
    with pytest.raises(DataError, match="SIFT has 2 x and 3 y"):
        plot_curves({"SIFT": (np.zeros(2), np.zeros(3))}, tmp_path / "c.png", "x", "y")
    with pytest.raises(DataError, match="ORB has 1 values for 2 groups"):
        plot_bars(["a", "b"], {"ORB": [1.0]}, tmp_path / "c.png", "y")
