"""The report of a reconstruction in a headless Chromium: turn to a camera, sort the table, ask the matrix."""

import numpy as np
import pytest
import small_scenes
from browser import chromium

pytest.importorskip("pycolmap")

from traqpoint.apps.sfm import photos_to_model
from traqpoint.inference.extractor import Extractor
from traqpoint.sfm.config import MappingConfig


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    photos = small_scenes.write_photos(folder / "photos", [*small_scenes.walls(rng), *small_scenes.flat(rng, 1)])
    extractor = Extractor(max_keypoints=512, device="cpu")
    photos_to_model(photos, folder / "out", extractor, config=MappingConfig(num_threads=1))
    return folder / "out" / "report.html"


def turned(page):
    """Whether a drag over the scene changes its picture."""
    canvas = page.locator(".scene canvas")
    canvas.scroll_into_view_if_needed()
    before, box = canvas.screenshot(), canvas.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 120, steps=4)
    page.mouse.up()
    return canvas.screenshot() != before


@pytest.mark.slowest
@pytest.mark.parametrize("width", [1280, 400])
def test_the_report_shows_cameras_sorts_its_table_and_asks_nobody(report, width):
    with chromium(width) as page:
        page.goto(report.as_uri())
        assert page.locator("tbody tr").count() == 6
        assert turned(page)
        page.locator("tbody tr[data-index='2'] td").nth(1).click()
        assert "2.png" in page.inner_text(".scene .card")
        column = page.locator("th button", has_text="keypoints")
        column.click()
        counts = [int(text) for text in page.locator("td[data-label='keypoints']").all_inner_texts()]
        assert counts == sorted(counts, reverse=True) and counts[-1] == 0
        column.click()
        assert page.locator("tbody tr").first.get_attribute("data-index") == "5"

        page.hover(".matrix img", position={"x": 100, "y": 5})
        assert "matches agree with one motion" in page.inner_text("[data-pair]")
        assert not page.errors and all(url.startswith(("file:", "data:")) for url in page.asked)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slowest
def test_a_click_on_a_camera_in_space_tells_its_image(report):
    with chromium() as page:
        page.goto(report.as_uri())
        box = page.locator(".scene canvas").bounding_box()
        steps = [(x, y) for y in range(10, int(box["height"]), 12) for x in range(10, int(box["width"]), 24)]
        for x, y in steps:
            page.mouse.click(box["x"] + x, box["y"] + y)
            if page.locator(".scene .card").is_visible():
                break
        assert ".png" in page.inner_text(".scene .card")
