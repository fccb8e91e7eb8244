"""Files that are whole or absent, and outputs that belong to one configuration.

Whoever is killed while he writes leaves the old file or none, never half of one; and results of two configurations
never lie in one place.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from traqpoint._version import __version__
from traqpoint.errors import ConfigError, FormatError

_NOT_COMPARED = frozenset({"device", "memory", "version"})
"""What does not change the meaning of a result."""


@contextmanager
def atomic(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """A path beside `path` to write a file or a folder at, of the same suffix; it becomes `path` at the end.

    If the block raises, what it wrote is removed and `path` is as it was. Folders above are made; the file's mode is
    what the umask gives, whatever its writer chose. durable: survives a power failure too (fsync).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    _remove(partial)
    # The one way to ask for the umask that no other thread notices. safetensors would make the file private.
    partial.touch()
    mode = stat.S_IMODE(partial.stat().st_mode)
    partial.unlink()
    try:
        yield partial
        if partial.is_file():
            partial.chmod(mode)
        if durable:
            _sync(partial)
        partial.replace(path)
        if durable:
            _sync(path.parent)
    finally:
        _remove(partial)


def remove_partials(path: Path) -> None:
    """Delete what killed processes left of `path`, and logs beside it. Only where no other process writes it now."""
    for left in path.parent.glob(f".{glob.escape(path.stem)}.*.partial*"):
        _remove(left)


@contextmanager
def locked(out: str | Path) -> Iterator[None]:
    """Nobody else writes `out`, a file or a folder, as long as this lasts; the system ends it with the process.

    Raises ConfigError if another process, or an outer block, is at it.
    """
    from filelock import FileLock, Timeout  # 40 ms: only who writes needs it

    out = Path(out).absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"{out}: another process is writing there; wait for it to end, or choose another output"
        ) from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def write_json(path: str | Path, content: Any, **options: Any) -> None:
    """Write `content` as indented JSON. options: of json.dumps."""
    with atomic(path) as partial:
        partial.write_text(json.dumps(content, indent=1, **options) + "\n", encoding="utf-8")


def claim(
    out: Path,
    settings: Path,
    config: Mapping[str, Any],
    found: bool | None = None,
    overwrite: bool | None = None,
    clear: Callable[[], None] = lambda: None,
    changed: Collection[str] | None = None,
) -> None:
    """Make sure that what is in `out` is of `config`, and write `config` to the file `settings`.

    found: whether there are results already; by default, whether there are `settings`. overwrite: `clear` them; None
    where the user has no such option. changed: names of settings that may differ from those there; None where the user
    has no such option. Raises ConfigError naming the settings that differ, or if there are results of unknown
    configuration; FormatError for damaged settings.
    """
    known = read_settings(settings)
    found = known is not None if found is None else found
    if found and overwrite:
        # A file is replaced whole; in a folder that is not known to be ours, only the files of the same name are.
        if known is not None or out.is_file():
            clear()
    elif found:
        how = "delete them" if overwrite is None else "replace them (--overwrite, or delete them)"
        advice = f"choose another output, or {how}"
        if known is None:
            raise ConfigError(f"{out}: holds results of an unknown configuration (no {settings.name}); {advice}")
        different = differences(known, plain(config), changed or ())
        if different:
            if changed is not None:
                names = " ".join(line.split(":")[0] for line in different)
                advice += f", or go on with what is there all the same (--changed {names})"
            raise ConfigError(f"{out}: holds results of another configuration ({'; '.join(different)}); {advice}")
    write_settings(settings, config)


def write_settings(path: Path, config: Mapping[str, Any]) -> None:
    """Write a configuration as YAML, with the version of this package."""
    with atomic(path) as partial:
        text = yaml.safe_dump({"version": __version__, **plain(config)}, sort_keys=False)
        partial.write_text(text, encoding="utf-8")


def read_settings(path: Path) -> dict[str, Any] | None:
    """What `claim` or `write_settings` wrote; None if there is no such file. Raises FormatError if it is not YAML."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FormatError(f"{path}: not a readable YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise FormatError(f"{path}: expected a YAML mapping")
    return content


def plain(value: Any) -> Any:
    """`value` in types that YAML and JSON know."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def differences(old: Any, new: Any, changed: Collection[str] = (), name: str = "") -> list[str]:
    """What differs between two plain configurations, a line each: "loop.steps: 10 there, 20 here". changed: names of
    settings, or of groups of them, that may."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [f"{name}: {old} there, {new} here"]
    out = []
    for key in dict.fromkeys([*old, *new]):
        path = f"{name}.{key}" if name else key
        if key not in _NOT_COMPARED and path not in changed:
            out += differences(old.get(key), new.get(key), changed, path)
    return out


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
