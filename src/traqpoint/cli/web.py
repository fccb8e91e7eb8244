"""``traqpoint web``"""

from __future__ import annotations

from dataclasses import dataclass

from traqpoint.apps.web_limits import WebLimits
from traqpoint.cli.common import ExtractorOptions, part


@dataclass(frozen=True, kw_only=True)
class Web(ExtractorOptions, WebLimits):
    """A page in the browser: two images, photographs or a film in; keypoints, matches, tracks and a reconstruction out,
    beside SIFT's. Nothing leaves the machine. Extra web."""

    host: str = "127.0.0.1"
    """Who may see it: by default this machine only, 0.0.0.0 for everyone in its network."""
    port: int = 7860
    """0 takes any that is free."""

    def run(self) -> int:
        from traqpoint.apps.web import serve

        where = f"http://{self.host}:{self.port}" if self.port else "a free port"
        print(f"{where}: Ctrl-C ends it", flush=True)
        serve(self.extractor(), part(self, WebLimits), self.host, self.port)
        return 0
