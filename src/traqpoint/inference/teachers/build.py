"""A teacher by its name."""

from __future__ import annotations

from pathlib import Path

from traqpoint.errors import ConfigError, TraqPointError, WeightsError
from traqpoint.inference.teachers.ours import OurTeacher
from traqpoint.inference.teachers.teacher import TEACHERS, Teacher, is_ours
from traqpoint.types import Device


def build_teacher(name: str, folder: Path | None = None, device: Device = "cpu") -> Teacher:
    """One of TEACHERS, with its weights in `folder`; weights of ours by packaged name or path; or module:build.

    Raises ConfigError for an unknown name and for something from outside that is no teacher, WeightsError for weights
    that are missing, damaged or another network's.
    """
    if is_ours(name):
        return OurTeacher(name, device)
    build = TEACHERS[name]
    if folder is not None and not folder.is_dir():
        raise WeightsError(f"{folder}: no such folder of teachers' weights")
    try:
        teacher = build(name, folder, device)
    except TraqPointError:
        raise
    except Exception as error:  # whatever the user's code raises
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{name}: does not build a teacher of (name, folder, device) ({reason})") from None
    if not hasattr(teacher, "describe") or not isinstance(getattr(teacher, "identity", None), str):
        kind = type(teacher).__name__
        raise ConfigError(f"{name}: builds a {kind}, and a teacher has describe(image, xy) and a text `identity`")
    return teacher
