"""``traqpoint VERB``: finds the verb, reads its options, and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from traqpoint.cli.options import UsageError, parse
from traqpoint.errors import Interrupted, TraqPointError

VERBS: dict[str, tuple[str, str]] = {
    "extract": ("traqpoint.cli.extract:Extract", "keypoints and descriptors of images into files"),
    "match": ("traqpoint.cli.match:Match", "match what extract wrote"),
    "merge": ("traqpoint.cli.merge:Merge", "outputs of many runs or machines into one"),
    "track": ("traqpoint.cli.track:Track", "tracks through a video, with a picture, a film and statistics"),
    "vo": ("traqpoint.cli.vo:Vo", "the path of a calibrated camera from a video or photos"),
    "sfm": ("traqpoint.cli.sfm:Sfm", "a sparse COLMAP model from photos"),
    "localize": ("traqpoint.cli.localize:Localize", "where photographs were taken, in a COLMAP model"),
    "view": ("traqpoint.cli.view:View", "a model, tracks or a path to look at: a recording or a picture"),
    "view matches": ("traqpoint.cli.view:ViewMatches", "matches of two images, coloured by confidence"),
    "view scores": ("traqpoint.cli.view:ViewScores", "the score map of an image"),
    "web": ("traqpoint.cli.web:Web", "a page in the browser: images in, matches, tracks and models out"),
    "train descriptor": ("traqpoint.cli.train:Descriptor", "stage 1: a descriptor from known correspondences"),
    "train policy": ("traqpoint.cli.train:Policy", "stage 2: keypoints by policy gradients"),
    "data sequences": ("traqpoint.cli.data:Sequences", "real training sequences from films and photographs"),
    "data megadepth-sequences": ("traqpoint.cli.data:MegaDepthSequences", "choose training sequences of MegaDepth"),
    "demo": ("traqpoint.cli.demo:Demo", "match and track real photographs beside SIFT and ORB"),
    "convert": ("traqpoint.cli.convert:Convert", "the authors' checkpoint into our weight file"),
    "eval pose": ("traqpoint.cli.evaluate:Pose", "relative pose between two images, against the truth"),
    "eval homography": ("traqpoint.cli.evaluate:Homography", "matches and maps of planes (HPatches)"),
    "eval tracks": ("traqpoint.cli.evaluate:Tracks", "how long keypoints live, against the true geometry"),
    "eval vo": ("traqpoint.cli.evaluate:Vo", "visual odometry, against the true path"),
    "eval sfm": ("traqpoint.cli.evaluate:Sfm", "structure from motion by COLMAP, against the truth"),
    "eval localization": ("traqpoint.cli.evaluate:Localization", "poses of held-out images in a map"),
    "eval compare": ("traqpoint.cli.evaluate:Compare", "results of several methods side by side"),
    "export onnx": ("traqpoint.cli.export:Onnx", "the network for other runtimes"),
    "export openvino": ("traqpoint.cli.export:OpenVino", "the network for OpenVINO"),
    "export colmap": ("traqpoint.cli.export:Colmap", "a file that COLMAP itself extracts features with"),
    "info": ("traqpoint.cli.info:Info", "what a weight file holds"),
}
"""Verb (one word, or two: "train policy") -> where its options are, and one line of help. Loaded when chosen."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 all well, 1 bad input or some files failed, 2 wrong usage, 130 Ctrl-C; a training
    that was asked to end by SIGTERM has 143."""
    # OpenCV and its FFmpeg complain on stderr about files that we report in one line of our own.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Of DDP, which warns of what is meant.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Read when torch is loaded. On a busy machine, threads that spin while they wait took the demo 400 s instead of 52.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]
            code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _fail(error, 2)
    except TraqPointError as error:
        return _fail(error, 1)
    except Interrupted as interruption:
        print(f"traqpoint: {interruption}", file=sys.stderr)
        return interruption.code
    except KeyboardInterrupt:
        print("traqpoint: interrupted; what is finished is kept, run the same command to go on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Our reader has gone (`| head`); the interpreter's own flush at exit must find somewhere to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a folder that cannot be made, a full disk
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error, 1)


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(_help())
        return 0 if args else 2
    if args[0] == "--version":
        from traqpoint._version import __version__

        print(f"traqpoint {__version__}")
        return 0
    verb, rest = _split(args)
    module, name = VERBS[verb][0].split(":")
    command = parse(getattr(importlib.import_module(module), name), rest, f"traqpoint {verb}")
    return command.run()


def _split(args: list[str]) -> tuple[str, list[str]]:
    for words in (2, 1):
        verb = " ".join(args[:words])
        if verb in VERBS:
            return verb, args[words:]
    below = [verb for verb in VERBS if verb.startswith(f"{args[0]} ")]
    if below:
        raise UsageError(f"{args[0]} needs one of: {', '.join(verb.split()[1] for verb in below)}")
    raise UsageError(f"no command {args[0]!r}; there are {', '.join(VERBS)}")


def _help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, (_, text) in VERBS.items()]
    return "\n".join(
        [
            "usage: traqpoint VERB [options]",
            "",
            "Keypoints that live long, learned by policy gradients over image sequences.",
            "",
            *lines,
            "",
            "traqpoint VERB --help lists the options of a verb; --config FILE.yaml gives them from a file.",
        ]
    )


def _warn(message: Warning | str, *_: object) -> None:
    print(f"traqpoint: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _fail(error: Exception | str, code: int) -> int:
    print(f"traqpoint: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
