"""Frames with cameras, from recordings and reconstructions, and the sequences that are drawn from them."""
