"""A headless Chromium for the tests of pages, where there is one."""

import shutil
from contextlib import contextmanager

import pytest


@contextmanager
def chromium(width=1280, height=900):
    """A page of it; the test skips without Playwright or Chromium. What it asked for is listed in its `asked`."""
    library = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the extra browser")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with library.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.asked, page.errors = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        yield page
        browser.close()
