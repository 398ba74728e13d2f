"""How pictures are cut into tiles."""

import warp as wp

MARGIN = 1.001
"""Lengths of an ellipse are taken this much longer, so that rounding never drops a pixel that is drawn."""
COUNT_LIMIT = 2**31 - 1
"""Counts of pairs say this where the true number would not fit."""


@wp.struct
class TileGrid:
    """How an image is cut into tiles."""

    tile_width: wp.int32  # [px]
    tile_height: wp.int32  # [px]
    columns: wp.int32
    rows: wp.int32


def tile_grid(width: int, height: int, tile_width: int, tile_height: int) -> TileGrid:
    """Tiles that cover ``width`` x ``height`` pixels."""
    grid = TileGrid()
    grid.tile_width, grid.tile_height = tile_width, tile_height
    grid.columns, grid.rows = -(-width // tile_width), -(-height // tile_height)
    return grid
