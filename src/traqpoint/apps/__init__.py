"""Layer 7: programs made of everything below, each behind one verb of the command line."""
