"""Options of a verb: a frozen dataclass, filled from defaults, a YAML file and the command line, in that order."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from traqpoint.errors import ConfigError, TraqPointError

Options = TypeVar("Options")


class UsageError(TraqPointError):
    """A command line that does not fit the verb."""


def parse(kind: type[Options], args: list[str], prog: str) -> Options:
    """Build the dataclass `kind` (keyword-only fields) from `args`, with ``--config file.yaml`` for its defaults.

    A kind with PRESETS (name -> values of fields) also takes ``--preset NAME``, below the file. Raises UsageError in
    one line for unknown, missing or misspelt options, ConfigError for unknown keys or wrong types in the file.
    """
    import tyro

    args, config = _take(args, "--config", "the path of a YAML file")
    values: dict[str, Any] = {}
    presets: dict[str, dict[str, Any]] = getattr(kind, "PRESETS", {})
    if presets:
        args, preset = _take(args, "--preset", f"one of {', '.join(presets)}")
        if preset is not None and preset not in presets:
            raise UsageError(f"no preset {preset!r}; there are {', '.join(presets)}")
        values = presets[preset] if preset is not None else {}
    if config is not None:
        values = {**values, **read_overlay(kind, Path(config), values)}
    described = _with_defaults(kind, values) if values else kind
    help = f"{inspect.getdoc(kind)}\n\nAlso: --config FILE.yaml, options by their names with underscores."
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            return tyro.cli(
                described,
                args=args,
                prog=prog,
                description=help,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as exit:
        if not exit.code:  # --help
            raise
        raise UsageError(f"{_one_line(stderr.getvalue())} (see {prog} --help)") from None


def read_overlay(kind: type, path: Path, below: dict[str, Any] | None = None) -> dict[str, Any]:
    """Values for fields of dataclass `kind` from a YAML mapping, checked against the fields' names and types.

    below: values of fields that are configurations themselves, of which the file changes only what it names.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a YAML mapping of options")
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in content.items():
        if key not in hints:
            raise ConfigError(f"{path}: unknown key {key!r}; known are {', '.join(hints)}")
        try:
            values[key] = _coerced(value, hints[key], (below or {}).get(key))
        except ValueError:
            raise ConfigError(f"{path}: {key}: {value!r} is not {_type_name(hints[key])}") from None
    return values


def _coerced(value: Any, hint: Any, below: Any = None) -> Any:
    """`value` as YAML gives it -> the type of the field. Raises ValueError if it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        for option in arguments:
            with contextlib.suppress(ValueError):
                return _coerced(value, option)
    elif dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return _nested(value, hint, below)
    elif origin is typing.Literal:
        if value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, dict):  # pairs are written as a mapping
            value = [list(pair) for pair in value.items()]
        items = value if isinstance(value, list) else [value]
        kinds = arguments[:1] * len(items) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(items):
            return tuple(_coerced(item, kind) for item, kind in zip(items, kinds, strict=True))
    elif hint is type(None):
        if value is None:
            return None
    elif hint is Path:
        if isinstance(value, str):
            return Path(value)
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif type(value) is hint:
        return value
    raise ValueError


def _nested(values: dict, kind: Any, below: Any = None) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"unknown key {unknown[0]!r} in the configuration; known are {', '.join(hints)}")
    fields = {key: _coerced(value, hints[key]) for key, value in values.items()}
    return kind(**fields) if below is None else dataclasses.replace(below, **fields)


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)


def _with_defaults(kind: type[Options], values: dict[str, Any]) -> type[Options]:
    """A subclass of dataclass `kind` whose fields have other defaults; tyro still checks what is required."""
    hints = typing.get_type_hints(kind, include_extras=True)
    body = {"__annotations__": {key: hints[key] for key in values}, "__doc__": kind.__doc__, **values}
    return dataclasses.dataclass(frozen=True, kw_only=True)(type(kind.__name__, (kind,), body))


def _take(args: list[str], option: str, what: str) -> tuple[list[str], str | None]:
    """Take ``option VALUE`` or ``option=VALUE`` out of `args`; the last one counts."""
    rest, found = [], None
    words = iter(args)
    for word in words:
        if word == option:
            found = next(words, None)
            if found is None:
                raise UsageError(f"{option} needs {what}")
        elif word.startswith(f"{option}="):
            found = word.removeprefix(f"{option}=")
        else:
            rest.append(word)
    return rest, found


def _one_line(box: str) -> str:
    """tyro's message without its frame (drawn, or ASCII where the terminal has no other) and its footers."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines():
        text = line.strip(" │")
        if text.startswith(("╭", "╰")):
            continue
        if text and not text.strip("─-"):
            sections.append([])
        elif text:
            sections[-1].append(text)
    if "╭" not in box:
        sections = sections[1:]  # the title stands above a rule of its own
    message = " ".join(sections[0]) if sections else "these options do not fit"
    for section in sections:
        if section and section[0].startswith("Perhaps you meant"):
            message += f"; perhaps you meant {section[1]}"
    return message
