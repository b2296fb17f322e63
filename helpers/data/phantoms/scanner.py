"""MR acquisition of a phantom head: the tissue contrast of four sequences, bias field, noise and scale of a scanner.

Brightness is relative to white matter on T1, chosen by eye after textbook contrasts. On T1, white matter is brighter
than grey and grey than fluid; on T2 the reverse; FLAIR is T2 with free water dark; T1ce is T1 after gadolinium, which
leaks only where the blood-brain barrier is broken (the rim) or absent (vessels, choroid plexus).
"""

import zlib
from dataclasses import dataclass

import numpy as np

from helpers.data.phantoms.head import Head
from helpers.data.phantoms.shapes import Axes, smooth_noise
from helpers.data.phantoms.tumour import Tumour


@dataclass(frozen=True)
class Contrast:
    """Brightness of each tissue on one sequence."""

    fluid: float
    grey: float
    white: float
    nuclei: float
    oedema: float
    core: float
    necrosis: float
    rim: float
    vessels: float


CONTRASTS = {
    "flair": Contrast(0.18, 0.66, 0.54, 0.60, 1.10, 0.84, 0.46, 0.98, 0.58),
    "t1": Contrast(0.30, 0.76, 1.00, 0.85, 0.76, 0.57, 0.40, 0.70, 0.80),
    "t1ce": Contrast(0.30, 0.78, 1.00, 0.87, 0.77, 0.57, 0.40, 1.80, 1.70),
    "t2": Contrast(1.45, 0.68, 0.46, 0.56, 1.00, 0.98, 1.30, 0.86, 0.40),
}


def scan(
    rng: np.random.Generator,
    site: str,
    axes: Axes,
    spacing: tuple[float, float, float],
    head: Head,
    tumour: Tumour,
) -> dict[str, np.ndarray]:
    """Acquire the four modalities of a head.

    Args:
        rng: its state is the acquisition: the same on every grid, apart from the noise.
        site: the hospital; each has its own scanner.
        axes: voxel centres (mm) along x, y and z.
        spacing: millimetres per voxel.
        head: the anatomy on this grid.
        tumour: the tumour on this grid.

    Returns:
        Modality to (rows, columns, slices) int16: 0 outside the brain and at least 1 inside it.
    """
    machine = np.random.default_rng(zlib.crc32(site.encode()))  # one scanner per site
    # Partial volume: a voxel on a border holds both tissues; the scanner blurs by about a millimetre more.
    width = np.float32(np.hypot(machine.uniform(1.0, 1.8), 0.7 * max(spacing)))

    def fraction(depth: np.ndarray, soft: float = 1.0) -> np.ndarray:
        return np.clip(depth / (soft * width) + 0.5, 0, 1)

    faint = rng.uniform(0.55, 1.1)  # how far oedema stands out, by patient
    uptake = rng.uniform(0.65, 1.15)  # of gadolinium
    load = rng.uniform(-0.9, 0.5)  # of white-matter hyperintensities
    texture, mottle, spots = (smooth_noise(rng, axes, step)[head.brain] for step in (5, 7, 5))
    # White-matter hyperintensities, bright on FLAIR and no tumour: caps and rims at the ventricles, spots elsewhere.
    near = np.exp(-((np.clip(-head.ventricles, 0, None) / 5) ** 2))
    lesions = (
        np.clip(1.2 * (spots + load - 1.7 + 1.5 * near), 0, 1) * fraction(head.white - 1) * fraction(-head.ventricles)
    )
    fractions = {
        "grey": fraction(head.cortex),
        "white": fraction(head.white),
        "nuclei": 0.8 * fraction(head.nuclei, 1.5),
        "fluid": fraction(head.ventricles),
    }
    images = {}
    for name, contrast in CONTRASTS.items():
        image = np.full(texture.shape, contrast.fluid, np.float32)
        for tissue, part in fractions.items():
            image += part * (getattr(contrast, tissue) - image)
        image += 0.7 * lesions * (contrast.oedema - image) * (1 if name in ("flair", "t2") else 0.35)
        image += tumour.oedema * faint * (contrast.oedema * (1 + 0.07 * mottle) - image) * fraction(head.cortex + 2)
        core = contrast.core + tumour.fluid * (contrast.necrosis - contrast.core)
        image += tumour.core * (core * (1 + 0.08 * mottle) - image)
        image += tumour.rim * tumour.core * ((contrast.rim - core) * uptake * (1 + 0.1 * texture) + core - image)
        image += fraction(head.vessels, 0.7) * (contrast.vessels - image)
        image *= 1 + 0.025 * texture
        images[name] = _acquire(rng, machine, axes, image, head.brain)
    return images


def _acquire(
    rng: np.random.Generator, machine: np.random.Generator, axes: Axes, image: np.ndarray, brain: np.ndarray
) -> np.ndarray:
    """Contrast, bias field, Rician noise, scale: `image` (points,) becomes int16 of the shape of `brain`."""
    gamma, noise = machine.uniform(0.85, 1.2), machine.uniform(0.015, 0.04)
    level = np.exp(machine.uniform(np.log(180), np.log(1100)))
    level *= rng.lognormal(0, 0.18)
    bias = np.exp(np.float32(rng.uniform(0.05, 0.16)) * smooth_noise(rng, axes, 80)[brain])
    signal = np.clip(image, 0.02, None) ** gamma * bias
    grain = np.random.default_rng(rng.integers(2**32))  # its own generator: it draws as often as there are voxels
    real, imaginary = (noise * grain.standard_normal(signal.shape, np.float32) for _ in range(2))
    magnitude = np.hypot(signal + real, imaginary)  # Rician: the length of a complex signal with Gaussian noise
    scaled = np.zeros(brain.shape, np.int16)
    scaled[brain] = np.clip(np.rint(magnitude * level), 1, 32767)
    return scaled
