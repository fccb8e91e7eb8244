import re
import sys

import documents
import pytest
import torch

from traqpoint import optional
from traqpoint._version import __version__
from traqpoint.apps.environment import DISTRIBUTIONS, REQUIRED, environment
from traqpoint.cli.main import main


def test_a_bug_report_has_versions_devices_threads_and_every_extra(capsys):
    assert main(["info", "--environment"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["traqpoint"].startswith(__version__) and "traqpoint-s" in lines["traqpoint"]
    assert lines["torch"].startswith(torch.__version__.partition("+")[0])
    assert lines["threads"].startswith(str(torch.get_num_threads()))
    assert "missing" not in {lines[name] for name in REQUIRED}
    assert {DISTRIBUTIONS.get(module, module) for module in optional.EXTRAS} <= lines.keys()


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(optional.EXTRAS, "nothing_of_the_kind", "sfm")
    assert environment()["nothing_of_the_kind"] == "not installed (extra: sfm)"


def test_the_report_imports_no_optional_library(monkeypatch):
    loaded = {name for name in optional.EXTRAS if name in sys.modules}
    environment()
    assert {name for name in optional.EXTRAS if name in sys.modules} == loaded


def test_the_libraries_that_are_reported_as_required_are_those_that_pip_installs():
    _, _, required = (documents.ROOT / "pyproject.toml").read_text().partition("\ndependencies = [\n")
    assert tuple(re.findall(r'"([\w-]+)>=', required.partition("\n]")[0])) == REQUIRED


@pytest.mark.parametrize("module", optional.EXTRAS)
def test_an_optional_library_is_reported_by_the_name_that_pip_has_for_it(module):
    name = DISTRIBUTIONS.get(module, module)
    assert re.search(rf'"{name}(\[\w+\])?>=', (documents.ROOT / "pyproject.toml").read_text())
