"""The package as a user gets it: built, installed where there is no repository, and run."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from documents import ROOT
from random_inputs import write_pan

from traqpoint._version import __version__
from traqpoint.models.weights import available, describe_weights

SPDX = r"[A-Za-z0-9.+-]+( (AND|OR) [A-Za-z0-9.+-]+)*"


def test_citation_and_changes_name_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == __version__ and citation["license"] == "Apache-2.0"
    assert re.search(rf"^## {re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", available())
def test_packaged_weights_say_their_licence_by_its_spdx_name(name):
    licence = describe_weights(name)["license"]
    assert (
        re.fullmatch(SPDX, licence)
        and f"| weights `{name}` | {licence} | yes |" in (ROOT / "docs" / "licences.md").read_text()
    )


def test_continuous_integration_runs_what_ci_run_does():
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
    assert "bash .ci/run" in [step.get("run") for step in jobs["test"]["steps"]]
    classifiers = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert jobs["test"]["strategy"]["matrix"]["python"] == classifiers


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The programs of an environment with the wheel in it; the libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = built.glob("*.whl")
    install = [programs / "python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "libraries.pth").write_text(
        "\n".join(ours)
    )  # after the wheel's own folder; .pth files there are not read
    return programs


def run(installed, folder, *arguments):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [installed / arguments[0], *arguments[1:]]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slowest
def test_the_wheel_and_the_source_distribution_hold_what_is_needed_and_no_more(built):
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("py.typed", "weights/traqpoint-s.safetensors", "weights/traqpoint-s.md", "cli/main.py"):
        assert f"traqpoint/{needed}" in names
    assert all(name.startswith(("traqpoint/", f"traqpoint-{__version__}.dist-info/")) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "pyproject.toml", "CHANGELOG.md", "src/traqpoint/__init__.py"} <= inside


@pytest.mark.slowest
def test_the_wheel_works_where_there_is_no_repository(installed, tmp_path):
    """Version, info, extract and the whole demo."""
    where = run(installed, tmp_path, "python", "-c", "import traqpoint; print(traqpoint.__file__)")
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert run(installed, tmp_path, "traqpoint", "--version") == f"traqpoint {__version__}\n"
    assert "Apache-2.0" in run(installed, tmp_path, "traqpoint", "info")
    write_pan(tmp_path / "photos", 2)
    assert "2 images done" in run(
        installed, tmp_path, "traqpoint", "extract", "photos", "--out", "f", "--device", "cpu"
    )
    pytest.importorskip("skimage")
    run(installed, tmp_path, "traqpoint", "demo", "--out", "demo", "--device", "cpu")
    assert (tmp_path / "demo" / "flight_tracks.webm").stat().st_size > 0
