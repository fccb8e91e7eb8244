"""Layer 8: the command line. No logic here: every verb parses its options and calls the API."""
