"""Names that stand for code: what the package knows, and what a user brings from a module or a file of his own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from traqpoint.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """Name -> thing. What is not in it is looked up outside, as ``module:name`` or ``path/to/file.py:name``.

    A value may be such a string itself: it is imported when it is asked for, so that a registry can stand in a module
    that the command line's help loads.
    """

    def __init__(self, what: str, known: Mapping[str, T | str]) -> None:
        """what: a noun for messages: "matcher", "source"."""
        self.what = what
        self._known: dict[str, T | str] = dict(known)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __contains__(self, name: object) -> bool:
        """Whether the package knows `name`, or it names something outside."""
        return name in self._known or is_outside(str(name))

    def __getitem__(self, name: str) -> T:
        """Raises ConfigError that lists the known names, or says why an outside one cannot be had."""
        found: T | str | None = self._known.get(name)
        if found is None:
            self.check(name)
            found = name
        if isinstance(found, str):
            found = cast(T, imported(found))
            if name in self._known:
                self._known[name] = found
        return found

    def check(self, name: str) -> None:
        """Raise ConfigError unless `name` is known or has the form of an outside one; nothing is imported."""
        if name not in self:
            known = ", ".join(self._known)
            raise ConfigError(f"unknown {self.what} {name!r}; known are {known}, and your own as module:name")

    def register(self, name: str, thing: T) -> None:
        """Add a name. Raises ConfigError if it is taken."""
        if name in self._known:
            raise ConfigError(f"the {self.what} {name!r} is known already")
        self._known[name] = thing


def is_outside(name: str) -> bool:
    """Whether `name` has the form ``module:name`` or ``path/to/file.py:name``."""
    module, _, attribute = name.rpartition(":")
    is_module = all(part.isidentifier() for part in module.split("."))
    return attribute.isidentifier() and (is_module or module.endswith(".py"))


def is_loaded(name: str) -> bool:
    """Whether the module of ``module:name`` or ``path/to/file.py:name`` has been imported in this process."""
    place = name.rpartition(":")[0]
    return (_name_of_file(Path(place)) if place.endswith(".py") else place) in sys.modules


def imported(name: str) -> Any:
    """What ``module:name`` or ``path/to/file.py:name`` stands for. Modules are also looked for in the working folder.

    Raises ConfigError if there is no such module, file or name in it, or the code fails when it is loaded.
    """
    place, _, attribute = name.rpartition(":")
    module = _from_file(Path(place)) if place.endswith(".py") else _from_path(place)
    if not hasattr(module, attribute):
        raise ConfigError(f"{name}: {place} has no {attribute!r}")
    return getattr(module, attribute)


def _from_path(place: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.append(here)  # last: a file of the user's must not hide an installed module
    try:
        return importlib.import_module(place)
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"{place}: cannot be imported ({type(error).__name__}: {error})") from error
    finally:
        sys.path.remove(here)


def _name_of_file(path: Path) -> str:
    return f"_traqpoint_user_{path.stem}_{abs(hash(str(path.absolute())))}"


def _from_file(path: Path) -> ModuleType:
    name = _name_of_file(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"{path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: its dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"{path}: cannot be imported ({type(error).__name__}: {error})") from error
    return module
