"""TraqPoint: keypoints that live long, learned by policy gradients over image sequences."""

__version__ = "0.1.0"
