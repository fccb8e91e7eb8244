"""Many methods, one benchmark: what is finished is not judged again, and nothing old passes for new."""

import dataclasses

import numpy as np
import pytest

from traqpoint.errors import ConfigError
from traqpoint.evaluation.result import Result
from traqpoint.evaluation.run import run_methods


@dataclasses.dataclass(frozen=True)
class Config:
    name: str
    max_keypoints: int = 10


class Named:
    def __init__(self, name, **options):
        self.config = Config(name, **options)


class Judge:
    """Counts its calls; fails for the methods in `broken`."""

    def __init__(self, value=1.0, broken=()):
        self.value, self.broken, self.judged = value, broken, []

    def __call__(self, method, folder):
        if method.config.name in self.broken:
            raise KeyboardInterrupt
        self.judged.append(method.config.name)
        return Result("pose", method.config.name, {"auc_5": self.value}, {"x": np.zeros(2)}, {"dataset": "d"})


def test_each_method_has_its_folder_and_all_are_in_the_table(tmp_path):
    results = run_methods([Named("A"), Named("B")], tmp_path, Judge())
    assert [r.method for r in results] == ["A", "B"]
    assert Result.load(tmp_path / "B/result.json").stats == {"auc_5": 1.0}
    assert "| A |" in (tmp_path / "table.md").read_text() and "| B |" in (tmp_path / "table.md").read_text()


def test_finished_methods_with_the_same_settings_are_loaded(tmp_path):
    run_methods([Named("A")], tmp_path, Judge(), settings={"seed": 0})
    judge = Judge(value=2.0)
    first, second = run_methods([Named("A"), Named("B")], tmp_path, judge, settings={"seed": 0})
    assert judge.judged == ["B"]
    assert (first.stats["auc_5"], second.stats["auc_5"]) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("method", "settings"), [(Named("A"), {"seed": 1}), (Named("A", max_keypoints=5), {"seed": 0})]
)
def test_other_settings_or_another_method_of_the_name_are_judged_again(tmp_path, method, settings):
    run_methods([Named("A")], tmp_path, Judge(), settings={"seed": 0})
    judge = Judge(value=2.0)
    assert run_methods([method], tmp_path, judge, settings=settings)[0].stats["auc_5"] == 2.0
    assert judge.judged == ["A"]
    assert Result.load(tmp_path / "A/result.json").stats["auc_5"] == 2.0


def test_without_settings_nothing_is_taken_as_finished(tmp_path):
    judge = Judge()
    for _ in range(2):
        run_methods([Named("A")], tmp_path, judge)
    assert judge.judged == ["A", "A"]


def test_a_run_that_broke_off_goes_on_where_it_was(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_methods([Named("A"), Named("B")], tmp_path, Judge(broken=["B"]), settings={})
    judge = Judge()
    run_methods([Named("A"), Named("B")], tmp_path, judge, settings={})
    assert judge.judged == ["B"]


def test_progress_counts_methods(tmp_path):
    seen = []
    run_methods([Named("A"), Named("B")], tmp_path, Judge(), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_two_methods_of_the_same_name_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="two methods are called A"):
        run_methods([Named("A"), Named("A")], tmp_path, Judge())
