"""Layer 4: from features and matches to a sparse model, by pycolmap."""
