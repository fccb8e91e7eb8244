"""Layer 2: from matches between pairs, or from a video, to tracks over many images."""
