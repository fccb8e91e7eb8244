"""Errors that a user can act on. Each message names the thing that is wrong and what to do about it."""


class TraqPointError(Exception):
    """Base of every error that TraqPoint raises on bad input; the command line prints it as one line."""


class ImageError(TraqPointError):
    """An image or video file that is missing, empty, truncated or of an unsupported type."""


class GeometryError(TraqPointError):
    """A pose, camera, depth map or homography that is not what it claims to be (NaN, singular, wrong shape)."""


class WeightsError(TraqPointError):
    """A weight file that is missing, corrupt, or belongs to another network."""


class FormatError(TraqPointError):
    """A feature, match, database or configuration file that does not hold what its format promises."""


class DataError(TraqPointError):
    """A data set or folder that has nothing usable in it."""


class ConfigError(TraqPointError, ValueError):
    """A configuration value outside its range, or an unknown key."""


class Interrupted(KeyboardInterrupt):
    """A signal asked to end, and what is finished is kept. code: the exit code that shells have for it."""

    def __init__(self, signal: int, where: str) -> None:
        super().__init__(f"interrupted {where}; run the same command to go on")
        self.code = 128 + signal


class MissingDependencyError(TraqPointError, ImportError):
    """An optional library is needed and not installed; the message holds the pip command."""
