"""Where a point goes: the particle it belongs to, the path on which that particle carries it, who sees it."""
