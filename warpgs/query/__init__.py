"""Where a point goes: the particle it belongs to, the path on which that particle carries it, who sees it.

Apart from ``evaluate``, which compares such answers with the truth: most scenes have none, and still are asked.
"""

from warpgs.query.paths import Paths, PixelQuery, PointQuery, Query, Sights, find_camera, look, query
from warpgs.query.tables import read_queries, write_paths, write_tum

__all__ = [
    "Paths",
    "PixelQuery",
    "PointQuery",
    "Query",
    "Sights",
    "find_camera",
    "look",
    "query",
    "read_queries",
    "write_paths",
    "write_tum",
]
