"""The wheel on the other Pythons of this machine, without PyTorch, which has no CPU build for them on PyPI.

Of each Python that the package allows and that is on the PATH: all is compiled, what needs no tensors is imported and
tested, and every verb says its options.
"""

import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from documents import ROOT

PYTHONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
OTHERS = [version for version in PYTHONS if version != f"3.{sys.version_info.minor}"]
WITHOUT_TENSORS = [
    *("tests/test_registry.py", "tests/cli/test_options.py", "tests/evaluation/test_result.py"),
    *("tests/evaluation/metrics/test_auc.py", "tests/evaluation/metrics/test_localization.py"),
    *("tests/io/test_gps.py", "tests/io/test_scene_info.py"),
]
IMPORT_AND_ASK = """
import contextlib, importlib, io, pkgutil
import traqpoint
from traqpoint.cli.main import VERBS, main

for module in pkgutil.walk_packages(traqpoint.__path__, "traqpoint.", onerror=lambda name: None):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        assert error.name == "torch" and not module.name.endswith(".config"), (module.name, error)
for verb in VERBS:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as help:
        main([*verb.split(), "--help"])
    assert "usage: traqpoint " + verb in help.getvalue(), verb
"""


def run(*command, folder=None):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=folder)


def interpreter(version):
    """The path of a Python that starts: a version manager's stand-in may not."""
    program = shutil.which(f"python{version}")
    if program is None or run(program, "--version").returncode:
        pytest.skip(f"python{version} is not on the PATH")
    return program


def required(wheel):
    """What pip would install with it, but PyTorch."""
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    lines = re.findall(r"^Requires-Dist: ([^;\n]+)$", wheel.read(name).decode(), re.MULTILINE)
    return [line for line in lines if not line.startswith("torch")]


@pytest.mark.slowest
@pytest.mark.parametrize("version", OTHERS)
def test_what_needs_no_tensors_works_on_another_python(version, built, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    python = tmp_path / "venv" / "bin" / "python"
    assert run(interpreter(version), "-m", "venv", tmp_path / "venv").returncode == 0
    (wheel,) = built.glob("*.whl")
    pip = (python, "-m", "pip", "install", "-q")
    assert run(*pip, "--no-deps", wheel).returncode == 0
    ended = run(*pip, *required(zipfile.ZipFile(wheel)), "pytest", "hypothesis")
    if "Could not find a version" in ended.stderr:
        pytest.skip("libraries cannot be downloaded here")
    assert ended.returncode == 0, ended.stderr
    (package,) = tmp_path.glob("venv/lib/python*/site-packages/traqpoint")
    for command in (
        ("-W", "error", "-m", "compileall", "-q", package),
        ("-c", IMPORT_AND_ASK),
        (
            "-m",
            "pytest",
            "--noconftest",
            "-p",
            "no:cacheprovider",
            f"--rootdir={ROOT}",
            *(ROOT / test for test in WITHOUT_TENSORS),
        ),
    ):
        ended = run(python, *command, folder=tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
