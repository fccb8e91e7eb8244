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
    except ConfigError as error:  # of a value that does not fit: newer tyros tell it as they tell wrong usage
        raise UsageError(f"{error} (see {prog} --help)") from None


def read_overlay(kind: type, path: Path, below: dict[str, Any] | None = None) -> dict[str, Any]:
    """Values for fields of dataclass `kind` from a YAML mapping, checked against the fields' names and types.

    below: values that lie under the file's. A mapping for a field that is a configuration itself changes only what it
    names, however deep; the rest is as it lies below, or as `kind` has it by default.
    Raises ConfigError naming the file, and the key if one is unknown or its value does not fit.
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
    try:
        return _fields(content, kind, {**_defaults(kind), **(below or {})})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _fields(values: dict, kind: Any, below: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of fields of dataclass `kind`, as YAML gives them -> as they are typed. prefix: "policy.reward."."""
    hints = typing.get_type_hints(kind)
    settable = [field.name for field in dataclasses.fields(kind)]
    out = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in settable:
            raise ConfigError(f"unknown key {name!r}; known are {', '.join(settable)}")
        try:
            out[key] = _coerced(value, hints[key], below.get(key), name)
        except ConfigError:  # says it better
            raise
        except ValueError:
            raise ConfigError(f"{name}: {value!r} is not {_type_name(hints[key])}") from None
    return out


def _defaults(kind: Any) -> dict[str, Any]:
    """Fields of dataclass `kind` that have a default -> that default."""
    out = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            out[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            out[field.name] = field.default_factory()
    return out


def _coerced(value: Any, hint: Any, below: Any, name: str) -> Any:
    """`value` as YAML gives it -> the type of the field `name`. Raises ValueError if it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _one_of(value, arguments, below, name)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return _configuration(value, hint, below, name)
    elif origin is typing.Literal:
        if value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, dict):  # pairs are written as a mapping
            value = [list(pair) for pair in value.items()]
        items = value if isinstance(value, list) else [value]
        kinds = arguments[:1] * len(items) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(items):
            return tuple(_coerced(item, kind, None, name) for item, kind in zip(items, kinds, strict=True))
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


def _configuration(values: dict, kind: Any, below: Any, name: str) -> Any:
    """A dataclass `kind` of `values`, over the one that lies below, or over its defaults."""
    if isinstance(below, kind):
        kind, under = type(below), {field.name: getattr(below, field.name) for field in dataclasses.fields(below)}
    else:
        under = _defaults(kind)
    given = {**under, **_fields(values, kind, under, f"{name}.")}
    if missing := [field.name for field in dataclasses.fields(kind) if field.name not in given]:
        raise ConfigError(f"{name}: {', '.join(missing)} must be given")
    return kind(**given)


def _one_of(value: Any, options: tuple, below: Any, name: str) -> Any:
    """The first type of a union that takes the value; what lies below has the first say."""
    refused = ValueError()
    for option in sorted(options, key=lambda option: type(below) is not option):
        try:
            return _coerced(value, option, below, name)
        except ConfigError as error:  # no such key or value: the next configuration may have it
            refused = refused if isinstance(refused, ConfigError) else error
        except ValueError:
            pass
    raise refused


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
