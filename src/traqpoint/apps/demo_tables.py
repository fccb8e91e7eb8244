"""The demo's numbers as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich import box
from rich.table import Table

from traqpoint.apps.demo import THRESHOLD_PX, DemoReport
from traqpoint.evaluation.metrics.video_tracks import LONG_TRACK

Value = float | None
_COUNT: Callable[[float], str] = "{:.0f}".format
_SHARE: Callable[[float], str] = "{:.1%}".format
_LENGTH: Callable[[float], str] = "{:.2f}".format

_COLUMNS: dict[str, tuple[str, Callable[[float], str], int]] = {
    "keypoints": ("keypoints", _COUNT, 0),
    "tracks": ("tracks", _COUNT, 0),
    "correct_matches": ("correct", _COUNT, 1),
    "mean_length": ("mean length", _LENGTH, 1),
    "long_tracks": (f"{LONG_TRACK}+ frames", _COUNT, 1),
    "precision": ("precision", _SHARE, 1),
    "track_length": ("length", _LENGTH, 1),
    "completeness": ("complete", _SHARE, 1),
    "localization_px": ("error px", _LENGTH, -1),
    "ms_per_frame": ("ms/frame", _COUNT, -1),
}
"""Key of a report -> heading, format, and which way is better (1 more, -1 less, 0 neither)."""


def demo_tables(report: DemoReport) -> list[Table]:
    """One table per scene and one of the online tracker, a row per method; the best value of a column is bold."""
    frames, window = report.protocol["flight"]["num_frames"], report.protocol["flight_window_frames"]
    return [
        _table(
            "Motorcycle: a stereo pair with true disparity",
            f"correct: matches within {THRESHOLD_PX:g} px of the truth. precision: correct of all matches. "
            "complete: correct of all keypoints that the other image truly sees. error px: of correct matches.",
            report.motorcycle,
        ),
        _table(
            f"Flight: {frames} frames of a world made of photographs, true depth and poses",
            f"One frame against the next {window - 1}. correct: matches per pair of frames. length: in how many frames "
            f"of {window} a keypoint is found, the first one included. complete: of all frames that truly see it.",
            report.flight,
        ),
        _table(
            "Flight: tracks of the online tracker",
            f"mean length: frames in which a track is still on its first point. {LONG_TRACK}+ frames: tracks with so "
            "many. precision: observations on the track's first point.",
            report.tracker,
        ),
    ]


def _table(title: str, caption: str, rows: Mapping[str, Mapping[str, Value]]) -> Table:
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
    table.collapse_padding, table.pad_edge = True, False  # or 80 columns are not enough
    table.add_column("method")
    keys = [key for key in _COLUMNS if key in next(iter(rows.values()))]
    for key in keys:
        table.add_column(_COLUMNS[key][0], justify="right")
    for method, row in rows.items():
        cells = (_cell(key, row[key], [other[key] for other in rows.values()]) for key in keys)
        table.add_row(method, *cells)
    return table


def _cell(key: str, value: Value, all_values: list[Value]) -> str:
    _, show, sense = _COLUMNS[key]
    if value is None:
        return "-"
    best = max((sense * v for v in all_values if v is not None), default=0.0)
    return f"[bold]{show(value)}[/bold]" if sense and sense * value == best else show(value)
