"""What can be evaluated: our extractor, its peers, and features that were computed elsewhere."""
