"""The viewer: a page in a web browser on which a run is played and turned around. Needs the extra [view]."""

from warpgs.view.web.server import LOOPBACK, Viewer

__all__ = ["LOOPBACK", "Viewer"]
