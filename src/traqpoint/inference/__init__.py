"""Layer 3: from images to features, matches and tracks on disk."""
