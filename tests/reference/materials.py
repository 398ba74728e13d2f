"""Priors on materials, motion and contact in float64 NumPy, from the formulas, on worlds of ``warpgs.priors.trial``."""

import numpy as np
from scipy.spatial.transform import Rotation


def spacing(world) -> float:
    """Median distance to a neighbor."""
    first = world.first[0]
    return float(np.median(np.linalg.norm(first[world.neighbors] - first[:, None], axis=2)))


def pair_weights(world) -> np.ndarray:
    """w_ij, shape [n, k]."""
    first = world.first[0]
    squares = np.sum((first[world.neighbors] - first[:, None]) ** 2, axis=2)
    return np.exp(-squares / (2.0 * world.sigma**2))


def offsets(world, poses) -> np.ndarray:
    """x_j - x_i, shape [n, k, 3]."""
    return poses[0][world.neighbors] - poses[0][:, None]


def best_rotation(products: np.ndarray) -> np.ndarray:
    """R that maximizes tr(R^T products)."""
    u, _, vt = np.linalg.svd(products)
    return u @ np.diag([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)]) @ vt


def springs(world, damping_s=0.5, step_s=0.5) -> float:
    lengths = {name: np.linalg.norm(offsets(world, getattr(world, name)), axis=2) for name in ("first", "last", "now")}
    stretch = (lengths["now"] - lengths["first"]) / spacing(world)
    rate = (lengths["now"] - lengths["last"]) / spacing(world) / step_s
    return float((pair_weights(world) * (stretch**2 + damping_s * step_s * rate**2) / 2.0).mean())


def arap(world) -> float:
    total, weights = 0.0, pair_weights(world)
    for w, now, before in zip(weights, offsets(world, world.now), offsets(world, world.reference), strict=True):
        rotation = best_rotation(sum(a * np.outer(o, r) for a, o, r in zip(w, now, before, strict=True)))
        total += sum(a * np.sum((o - rotation @ r) ** 2) for a, o, r in zip(w, now, before, strict=True))
    return total / 2.0 / weights.size / spacing(world) ** 2


def deformations(world) -> list[np.ndarray]:
    """F of each neighborhood, by least squares; of twenty neighbors with a quadratic part, held back by a ridge."""
    result = []
    weights = pair_weights(world)
    weights = np.sqrt(weights / weights.sum(axis=1, keepdims=True))[..., None]
    for w, now, before in zip(weights, offsets(world, world.now), offsets(world, world.reference), strict=True):
        terms = w * before
        if len(w) >= 14:
            x, y, z = (before / np.sqrt(np.sum((w * before) ** 2))).T
            root = np.sqrt(2.0)
            squares = w * np.stack([x * x, y * y, z * z, root * x * y, root * y * z, root * z * x], axis=1)
            ridge = np.sqrt(0.01 * np.sum(squares**2) / 6.0) * np.eye(6)
            terms = np.block([[terms, squares], [np.zeros((6, 3)), ridge]])
        wanted = np.concatenate([w * now, np.zeros((len(terms) - len(w), 3))])
        result.append(np.linalg.lstsq(terms, wanted, rcond=None)[0][:3].T)
    return result


def elastic(world, poisson=0.3) -> float:
    total = 0.0
    pairs = zip(
        deformations(world),
        pair_weights(world),
        offsets(world, world.now),
        offsets(world, world.reference),
        strict=True,
    )
    for f, w, now, before in pairs:
        rotation = best_rotation(f)
        dilation = np.trace(rotation.T @ f) - 3.0
        total += np.sum((f - rotation) ** 2) + poisson / (1.0 - 2.0 * poisson) * dilation**2
        total += w @ np.sum((now - before @ f.T) ** 2, axis=1) / (w @ np.sum(before**2, axis=1))
    return total / (2.0 * (1.0 + poisson)) / len(world.parts)


def volume(world) -> float:
    return float(np.mean([(np.linalg.det(f) - 1.0) ** 2 / 2.0 for f in deformations(world)]))


def shape_matching(world) -> float:
    """Integrated over eight points of each Gaussian that have its center and covariance."""
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3)

    def points(poses):
        axes = Rotation.from_quat(poses[1]).as_matrix()
        return poses[0][:, None] + np.einsum("nab,ncb->nca", axes, corners * world.scales[:, None])

    now, before, total = points(world.now), points(world.reference), 0.0
    for i, w in enumerate(pair_weights(world)):
        rows = np.concatenate([[i], world.neighbors[i]])
        shares = np.repeat(np.concatenate([[1.0], w]), 8)
        shares /= shares.sum()
        a, b = now[rows].reshape(-1, 3), before[rows].reshape(-1, 3)
        a, b = a - shares @ a, b - shares @ b
        total += shares @ np.sum((a - b @ best_rotation((shares[:, None] * a).T @ b).T) ** 2, axis=1)
    return total / 2.0 / len(world.parts) / spacing(world) ** 2


def momentum(world, limit=np.inf) -> float:
    shift = (world.now[0] - 2.0 * world.last[0] + world.before[0]) / spacing(world)
    now, last, before = (Rotation.from_quat(poses[1]) for poses in (world.now, world.last, world.before))
    chord = 2.0 * np.sin((now * (last * before.inv() * last).inv()).magnitude() / 4.0)  # between unit quaternions
    squares = np.sum(shift**2, axis=1)
    soft = squares / 2.0 if limit == np.inf else limit**2 * (np.sqrt(1.0 + squares / limit**2) - 1.0)
    return float(np.mean(soft + 4.0 * chord**2 / 2.0))


def contact(world, friction=0.4, creep_per_s=0.1, step_s=0.5) -> float:
    """With the plane z = 0; friction integrated from Coulomb's law, faded in as 2 y - y^2."""
    size = spacing(world)
    depth, last_depth = (np.maximum(-poses[0][:, 2], 0.0) / size for poses in (world.now, world.last))
    slid = np.linalg.norm((world.now[0] - world.last[0])[:, :2], axis=1)
    nodes, shares = np.polynomial.legendre.leggauss(4)
    creep, work = creep_per_s * size * step_s, np.zeros(len(slid))
    for low, high in ((np.zeros(len(slid)), np.minimum(slid, creep)), (creep, np.maximum(slid, creep))):
        for node, share in zip(nodes, shares, strict=True):
            y = np.minimum((low + (high - low) * (node + 1.0) / 2.0) / creep, 1.0)
            work += share * (high - low) / 2.0 * (2.0 * y - y**2)
    return float(np.mean(depth**2 / 2.0 + friction * last_depth * work / size))


def penetration(world, distance=2.0) -> float:
    first, now, total = world.first[0], world.now[0], 0.0
    for i in range(len(now)):
        for j in range(len(now)):
            if world.parts[i] != world.parts[j]:
                least = min(distance * spacing(world), np.linalg.norm(first[i] - first[j]))
                total += max(least - np.linalg.norm(now[i] - now[j]), 0.0) ** 2 / 2.0
    return total / len(now) / spacing(world) ** 2


ORACLES = {
    "springs": springs,
    "arap": arap,
    "elastic": elastic,
    "volume": volume,
    "shape_matching": shape_matching,
    "momentum": momentum,
    "contact": contact,
    "penetration": penetration,
}
