"""The web page: two images, photographs or a film in; what `web_results` finds of them out. Gradio, extra `web`.

Nothing is loaded from elsewhere, and nothing is told to anyone: no fonts, no analytics, no share.
"""

from __future__ import annotations

import base64
import html
import mimetypes
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from traqpoint import optional
from traqpoint.apps.web_limits import WebLimits
from traqpoint.apps.web_results import Shown, show_collection, show_pair
from traqpoint.errors import TraqPointError
from traqpoint.inference.extractor import Extractor

STYLE = (Path(__file__).parent.parent / "viz" / "templates" / "web.css").read_text(encoding="utf-8")
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]
ALONE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "work"}
"""One job at a time: each takes all cores."""
Answer = tuple[str, list[str]]
"""HTML, and files to download."""
Work = Callable[[Sequence[Path], Path], Shown]
_CACHE_S = 3600
"""Uploads and results older than this are deleted, looked for as often."""


def serve(
    extractor: Extractor, limits: WebLimits | None = None, host: str = "127.0.0.1", port: int = 7860, wait: bool = True
) -> tuple[Any, str]:
    """Start the page and, unless `wait` is False, stay until Ctrl-C; the Gradio page, and its address.

    port: 0 for any that is free. Raises MissingDependencyError without Gradio, OSError if the port is taken.
    """
    gradio = _gradio()
    limits = limits or WebLimits()
    page = build(extractor, limits)
    theme = gradio.themes.Default(primary_hue="teal", font=FONTS, font_mono=["ui-monospace", "monospace"])
    _, address, _ = page.queue().launch(
        server_name=host,
        server_port=port or _free_port(host),
        max_file_size=int(limits.max_megabytes * 1e6),
        share=False,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        prevent_thread_lock=not wait,
        theme=theme,
        css=STYLE,
    )
    return page, address


def build(extractor: Extractor, limits: WebLimits) -> Any:
    """The page, a ``gradio.Blocks``."""
    gradio = _gradio()
    folders = tempfile.TemporaryDirectory(prefix="traqpoint-")

    def answer(given: Sequence[str | None], wanted: str, work: Work) -> tuple[str, Any]:
        # Gradio keeps copies of what was answered last, and one event runs at a time.
        for old in Path(folders.name).iterdir():
            shutil.rmtree(old)
        text, files = _answer(given, wanted, work, Path(tempfile.mkdtemp(dir=folders.name)))
        return text, gradio.File(files, visible=bool(files))

    def pair(a: str | None, b: str | None) -> tuple[str, Any]:
        return answer([a, b], "two images", lambda files, out: show_pair(files[0], files[1], out, extractor, limits))

    def collection(files: list[str] | None, folder: list[str] | None, with_peer: bool) -> tuple[str, Any]:
        def made(paths: Sequence[Path], out: Path) -> Shown:
            return show_collection(paths, out, extractor, limits, with_peer)

        return answer(files or folder or [None], "photographs, or a film", made)

    with gradio.Blocks(title="TraqPoint", analytics_enabled=False, delete_cache=(_CACHE_S, _CACHE_S)) as page:
        gradio.HTML("<h1>TraqPoint</h1><p>Keypoints that live long. What you give stays on this machine.</p>")
        with gradio.Tab("Two images"):
            with gradio.Row():
                a = gradio.File(label="First image", elem_id="first", height=130, min_width=260)
                b = gradio.File(label="Second image", elem_id="second", height=130, min_width=260)
            button = gradio.Button("Match", variant="primary", elem_id="match")
            outputs = [gradio.HTML(elem_id="pair"), gradio.File(label="Downloads", elem_id="pair-files", visible=False)]
            button.click(pair, [a, b], outputs, api_name="pair", **ALONE)
        with gradio.Tab("Photos or a film"):
            limit = f"up to {limits.max_images} photographs, or one film"
            files = gradio.File(label=f"Files: {limit}", file_count="multiple", elem_id="files", height=150)
            with gradio.Accordion("A whole folder instead", open=False):
                folder = gradio.File(label=f"Folder: {limit}", file_count="directory", elem_id="folder", height=130)
            peer = gradio.Checkbox(True, label="SIFT beside it, which takes as long again")
            button = gradio.Button("Reconstruct", variant="primary", elem_id="reconstruct")
            outputs = [
                gradio.HTML(elem_id="model"),
                gradio.File(label="Downloads", elem_id="model-files", visible=False),
            ]
            button.click(collection, [files, folder, peer], outputs, api_name="collection", **ALONE)
    return page


def _answer(given: Sequence[str | None], wanted: str, work: Work, out: Path) -> Answer:
    """What the page shows, and the files to download; one line of what is wrong for bad uploads."""
    paths = [Path(name) for name in given if name]
    if len(paths) < len(given):
        return _line(f"Give {wanted}."), []
    try:
        shown = work(paths, out)
    except TraqPointError as error:
        # A file is called as its owner calls it, not as it is stored here.
        text = str(error)
        for path in paths:
            text = text.replace(str(path), path.name)
        return _line(text), []
    return render(shown), [str(file) for file in shown.files]


def render(shown: Shown) -> str:
    """HTML with all pictures in it; what comes from file names is escaped."""
    parts = [f"<p class='said'>{html.escape(shown.said)}</p>"]
    if shown.notes:
        parts.append("<ul>" + "".join(f"<li>{html.escape(note)}</li>" for note in shown.notes) + "</ul>")
    if shown.rows:
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in shown.rows[0])
        rows = ("".join(f"<td data-label='{k}'>{html.escape(v)}</td>" for k, v in row.items()) for row in shown.rows)
        parts.append(f"<table><thead><tr>{heads}</tr></thead><tbody><tr>{'</tr><tr>'.join(rows)}</tr></tbody></table>")
    if shown.film is not None:
        parts.append(f"<video controls loop muted playsinline src='{_data_uri(shown.film)}'></video>")
    for caption, file in shown.pictures.items():
        text = html.escape(caption)
        parts.append(f"<figure><figcaption>{text}</figcaption><img alt='{text}' src='{_data_uri(file)}'></figure>")
    if shown.report is not None:
        page = html.escape(shown.report.read_text(encoding="utf-8"), quote=True)
        parts.append(f'<iframe title="The reconstruction" sandbox="allow-scripts" srcdoc="{page}"></iframe>')
    return f"<div class='result'>{''.join(parts)}</div>"


def _line(text: str) -> str:
    return f"<p class='wrong'>{html.escape(' '.join(text.split()))}</p>"


def _data_uri(file: Path) -> str:
    kind = mimetypes.guess_type(file.name)[0]
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def _gradio() -> Any:
    # Read when Gradio is loaded: it would ask for newer versions, and its hub for telemetry.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    return optional.load("gradio")
