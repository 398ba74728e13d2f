"""warpgs: dense 6-DOF tracking of dynamic 3D Gaussians.

Frames and units: metres, seconds, radians, pixels. World right-handed, z up. Cameras OpenCV (x right, y down, z
forward), pixel centers at +0.5. Quaternions outside Warp carry their order in the name (``rotations_wxyz``);
``wp.quat`` is x, y, z, w.
"""

__version__ = "0.1.0"
