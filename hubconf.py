"""``torch.hub.load(REPOSITORY, "traqpoint")``: what PyTorch's hub finds here. Nothing is downloaded beyond the
repository, in which the weights lie."""

import sys
from pathlib import Path

dependencies = ["torch", "numpy", "cv2", "h5py", "safetensors", "tyro", "yaml", "rich", "PIL", "filelock", "jinja2"]

try:
    import traqpoint as _traqpoint
except ImportError:  # a clone that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
    import traqpoint as _traqpoint


def traqpoint(weights="traqpoint-s", **options):
    """Images to `Features`: a `traqpoint.Extractor`. options: `ExtractorConfig`'s, as max_keypoints=1024."""
    return _traqpoint.Extractor(weights, **options)


def traqpoint_network(weights="traqpoint-s"):
    """The networks alone, a `torch.nn.Module`: a `traqpoint.TraqPoint`."""
    return _traqpoint.TraqPoint.from_pretrained(weights)


def traqpoint_matcher(weights="traqpoint-s", **options):
    """``matcher(img0, img1)`` -> dictionary, as vismatch's: a `traqpoint.integrations.vismatch.TraqPointMatcher`."""
    from traqpoint.integrations.vismatch import TraqPointMatcher

    return TraqPointMatcher(_traqpoint.Extractor(weights, **options))
