"""Where the research data lies that some tests use: beside the checkout, or nowhere; then these tests skip."""

from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared"
DATA = SHARED / "data"
PEERS = SHARED / "peers"
