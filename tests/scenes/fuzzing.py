"""How often readers are fed broken files: WARPGS_FUZZ times each, see ``make fuzz``; and how text is broken."""

import os

import numpy as np

SEEDS = range(int(os.environ.get("WARPGS_FUZZ", "50")))


def mutate(text: bytes, rng: np.random.Generator) -> bytes:
    """Truncated, bits flipped, a piece doubled or cut out, a number exchanged."""
    at, kind = int(rng.integers(len(text))), int(rng.integers(5))
    if kind == 0:
        return text[:at]
    if kind == 1:
        noisy = bytearray(text)
        for position in rng.integers(0, len(text), 3):
            noisy[position] ^= 1 << int(rng.integers(8))
        return bytes(noisy)
    end = at + int(rng.integers(1, 60))
    if kind == 2:
        return text[:at] + text[at:end] * int(2 * rng.integers(2)) + text[end:]
    odd = (b"nan", b"1e999", b"-1", b"99999999999999999999", b'""', b"[[[[", b"- - - -", b"", b"\x00", b"\xff", b"true")
    return text[:at] + odd[int(rng.integers(len(odd)))] + text[at + 1 :]
