"""A run on disk, safe against being killed at any moment.

::

    runs/box/
        config.json        what was asked: scene, timesteps, settings; its marker is what makes the folder a run
        gaussians.npz      the first timestep, all that stays constant, and the frame that everything is stored in
        births/000012.npz  the particles of what entered at one timestep, if anything did: as in gaussians.npz
        poses/000000.npz   centers and rotations at one timestep, plus what the tracker needs to go on from there
        log.jsonl          one line of metrics per timestep; timings only here, so that equal runs have equal .npz bytes
        lock               held by the process that writes

A file is written under a temporary name, flushed and renamed: it is whole or absent. ``poses`` says what is done;
births are written before the pose of their timestep, which is the first to hold a row for each of them, after those of
the particles before.
"""

from warpgs.run.run import Pose, Run
from warpgs.run.store import write_run

__all__ = ["Pose", "Run", "write_run"]
