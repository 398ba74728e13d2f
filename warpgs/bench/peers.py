"""The same work done by others, where they are installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from warpgs.bench.config import BenchConfig
from warpgs.bench.machine import is_installed
from warpgs.bench.timing import thread_ms
from warpgs.types import Camera, Gaussians

WINDOW, SIGMA_PX = 11, 1.5
"""Of SSIM (Wang et al. 2004)."""


def torch_loss_ms(config: BenchConfig) -> tuple[float | None, str]:
    """0.8 L1 + 0.2 D-SSIM with gradient in torch, as the 3DGS family writes it: CPU time of one thread [ms].

    Returns:
        The time, and the reason where there is none.
    """
    if not is_installed("torch"):
        return None, "not measured (torch is not installed)"
    torch = _imported("torch")
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    shape = (1, 3, config.height, config.width)
    image = torch.rand(shape, generator=generator, requires_grad=True)
    target = torch.rand(shape, generator=generator)
    offsets = torch.arange(WINDOW) - WINDOW // 2
    weights = torch.exp(-0.5 * (offsets / SIGMA_PX) ** 2)
    weights = weights / weights.sum()
    window = (weights[:, None] * weights).expand(3, 1, WINDOW, WINDOW).contiguous()

    def blur(x: Any) -> Any:
        return torch.nn.functional.conv2d(x, window, padding=WINDOW // 2, groups=3)

    def loss_and_gradient() -> None:
        mean, other = blur(image), blur(target)
        variance, other_variance = blur(image * image) - mean**2, blur(target * target) - other**2
        covariance = blur(image * target) - mean * other
        ssim = (2 * mean * other + 1e-4) * (2 * covariance + 9e-4)
        ssim = ssim / ((mean**2 + other**2 + 1e-4) * (variance + other_variance + 9e-4))
        loss = 0.8 * (image - target).abs().mean() + 0.2 * (1.0 - ssim.mean())
        image.grad = None
        loss.backward()

    return thread_ms({"torch": loss_and_gradient}, config.repeats)["torch"], ""


def gsplat_passes(gaussians: Gaussians, camera: Camera) -> tuple[dict[str, Callable[[], None]], str]:
    """Forward alone, and forward with backward, of gsplat on the first CUDA device.

    Returns:
        The two passes by name, none where gsplat cannot run, and then the reason.
    """
    missing = [name for name in ("torch", "gsplat") if not is_installed(name)]
    if missing:
        return {}, f"not measured ({' and '.join(missing)} not installed)"
    torch = _imported("torch")
    if not torch.cuda.is_available():
        return {}, "not measured (torch sees no CUDA device)"
    rasterization = _imported("gsplat").rasterization

    def put(array: np.ndarray, wants_gradient: bool = True) -> Any:
        return torch.tensor(array, dtype=torch.float32, device="cuda", requires_grad=wants_gradient)

    opacities = 1.0 / (1.0 + np.exp(-gaussians.opacity_logits))
    shapes = [gaussians.means, gaussians.rotations_wxyz, np.exp(gaussians.log_scales), opacities, gaussians.colors]
    parameters = [put(array) for array in shapes]
    pose, intrinsics = put(camera.camera_from_world[None], False), put(camera.intrinsics[None], False)
    upstream = torch.randn((1, camera.height, camera.width, 3), device="cuda")

    def draw() -> Any:
        return rasterization(*parameters, pose, intrinsics, camera.width, camera.height)[0]

    def forward() -> None:
        with torch.no_grad():
            draw()
        torch.cuda.synchronize()

    def both() -> None:
        for parameter in parameters:
            parameter.grad = None
        draw().backward(upstream)
        torch.cuda.synchronize()

    return {"forward": forward, "forward and backward": both}, ""


def _imported(name: str) -> Any:
    """A package that need not be there; the type checker cannot know it."""
    return importlib.import_module(name)
