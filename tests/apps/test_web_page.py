"""The page in a headless Chromium: upload, click, read the result. Runs where Gradio, Playwright and Chromium are."""

import cv2
import numpy as np
import pytest
import small_scenes
from browser import chromium
from films import write_film

pytest.importorskip("gradio", reason="gradio is not installed: the extra web")
pytest.importorskip("matplotlib")
pytest.importorskip("pycolmap")

from traqpoint.apps.web import serve
from traqpoint.apps.web_limits import WebLimits
from traqpoint.inference.extractor import Extractor

pytestmark = pytest.mark.slowest
PATIENCE_MS = 240_000


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "broken.png").write_bytes(b"no image")
    return small_scenes.write_photos(folder, small_scenes.walls(np.random.default_rng(0), 5))


@pytest.fixture(scope="module")
def address():
    limits = WebLimits(max_images=6, max_frames=6, max_megabytes=5)
    page, address = serve(Extractor(max_keypoints=512, device="cpu"), limits, port=0, wait=False)
    yield address
    page.close()


@pytest.fixture(params=[1280, 400])
def page(request, address):
    with chromium(request.param) as page:
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        page.wait_for_selector("#match")
        yield page
        assert all(url.startswith((address, "data:", "blob:", "about:")) for url in page.asked), "asks others"
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= request.param, "wider than the screen"


def upload(page, box, *files):
    page.set_input_files(f"#{box} input[type=file]", [str(file) for file in files])
    page.wait_for_selector(f"#{box} .file-preview")


def test_two_images_become_matches_and_files(page, photos):
    upload(page, "first", photos / "0.png")
    upload(page, "second", photos / "1.png")
    page.click("#match")
    page.wait_for_selector("#pair .said")
    assert "matches agree with one motion" in page.inner_text("#pair .said")
    assert [page.inner_text(f"#pair tbody tr:nth-child({i}) td") for i in (1, 2)] == ["TraqPoint", "SIFT"]
    assert page.locator("#pair figure img").count() == 4
    names = page.inner_text("#pair-files")
    assert all(name in names for name in ("1_0", "2_1", "matches", ".npz", ".png"))


def test_what_cannot_be_used_is_one_line(page, photos):
    page.click("#match")
    page.wait_for_selector("#pair .wrong")
    assert page.inner_text("#pair .wrong") == "Give two images."
    upload(page, "first", photos / "0.png")
    upload(page, "second", photos / "broken.png")
    page.click("#match")
    page.wait_for_function("document.querySelector('#pair .wrong')?.innerText.includes('broken')")
    assert page.inner_text("#pair .wrong") == "broken.png: not an image that OpenCV can read"


def test_photographs_become_a_model_to_turn(page, photos):
    page.get_by_role("tab", name="Photos or a film").click()
    upload(page, "files", *sorted(photos.glob("?.png")))
    page.click("#reconstruct")
    page.wait_for_selector("#model .said")
    assert page.inner_text("#model .said") == "5 of 5 images are in one model."
    report = page.frame_locator("#model iframe")
    report.locator("tbody tr").nth(2).click()
    assert "2.png" in report.locator(".card").inner_text() and not page.errors
    assert "report" in page.inner_text("#model-files") and "points" in page.inner_text("#model-files")


def test_a_film_becomes_tracks(address, tmp_path):
    walls = small_scenes.walls(np.random.default_rng(0), 6)
    write_film(tmp_path / "film.mp4", [cv2.resize(picture, (320, 240)) for picture in walls])
    with chromium() as page:
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        page.get_by_role("tab", name="Photos or a film").click()
        upload(page, "files", tmp_path / "film.mp4")
        page.uncheck("input[type=checkbox]")
        page.click("#reconstruct")
        page.wait_for_selector("#model .said")
        assert "tracks, of" in page.inner_text("#model li:first-child")
        assert page.evaluate("document.querySelector('#model video').readyState") >= 1
