"""Layer 4: features and matches by many processes and machines, in shards."""
