import pytest

from traqpoint.inference.runtimes.cache import FOLDER


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Graphs are made once for all tests, and none lands in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv(FOLDER, str(folder))
        yield folder
