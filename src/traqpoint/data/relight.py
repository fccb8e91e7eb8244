"""Strong photometric change, as between day and night or two cameras; on 8-bit images, because that is fast on a CPU.

The mild change, for one hour and any device, is data.augment's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from traqpoint import optional

# All ours: as far as pictures still show what they show. Ranges are of strength 1; shares are how often one happens.
BLUR_SHARE, BLUR_PX = 0.25, (0.4, 1.6)
SHAKE_SHARE, SHAKE_PX = 0.1, (3, 9)
TONE_SHARE, GAMMA_OCTAVES, CONTRAST, BRIGHTNESS = 0.9, 1.0, (0.4, 1.5), 0.15
CAST_SHARE, CAST = 0.7, 0.2
GREY_SHARE = 0.15
SHADE_SHARE, SHADE, SHADE_GAIN = 0.5, (0.3, 1.0), (1.0, 1.6)
NIGHT_SHARE, NIGHT, LAMP_PX, LAMP = 0.15, (0.12, 0.4), (5.0, 50.0), (0.2, 0.9)
NOISE_SHARE, NOISE = 0.5, 0.05
JPEG_SHARE, JPEG_QUALITY = 0.25, (25, 90)


def relight(image: np.ndarray, random: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """uint8 (H, W, 3) RGB -> the same under another light, through another camera; 0 leaves it as it is."""
    if strength == 0:
        return image
    cv2 = optional.load("cv2")
    out = _coded(_noisy(_lit(_optics(image, random, strength, cv2), random, strength, cv2), random, strength, cv2), cv2)
    if random.random() < JPEG_SHARE * strength:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(*JPEG_QUALITY))]
        out = cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], cv2.IMREAD_COLOR)
    return out


def _optics(image: np.ndarray, random: np.random.Generator, strength: float, cv2: Any) -> np.ndarray:
    """Out of focus, or shaken."""
    if random.random() < BLUR_SHARE * strength:
        return cv2.GaussianBlur(image, (0, 0), random.uniform(*BLUR_PX))
    if random.random() < SHAKE_SHARE * strength:
        length = int(random.integers(*SHAKE_PX))
        line = np.zeros((length, length), np.float32)
        line[length // 2] = 1
        centre = ((length - 1) / 2, (length - 1) / 2)
        line = cv2.warpAffine(line, cv2.getRotationMatrix2D(centre, random.uniform(0, 180), 1), (length, length))
        return cv2.filter2D(image, -1, line / line.sum())
    return image


def _tone(image: np.ndarray, random: np.random.Generator, strength: float) -> np.ndarray:
    """The camera's response, colour by colour: (256, 3) float32, the new value of each of 8 bits."""
    values = np.linspace(0, 1, 256, dtype=np.float32)
    if random.random() < TONE_SHARE:
        values = values ** (2 ** (random.uniform(-GAMMA_OCTAVES, GAMMA_OCTAVES) * strength))
        # A sample of the pixels knows their mean.
        mean = float(values[image[::8, ::8]].mean())
        contrast = 1 + strength * (random.uniform(*CONTRAST) - 1)
        values = (values - mean) * contrast + mean + random.uniform(-BRIGHTNESS, BRIGHTNESS) * strength
    colours = np.repeat(values[:, None], 3, axis=1)
    if random.random() < CAST_SHARE:
        colours *= 1 + random.uniform(-CAST, CAST, 3).astype(np.float32) * strength
    return colours


def _lit(image: np.ndarray, random: np.random.Generator, strength: float, cv2: Any) -> np.ndarray:
    """Tone, colour, shadows, and sometimes night with lamps: float32 (H, W, 3)."""
    if random.random() < GREY_SHARE * strength:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    out = cv2.LUT(image, _tone(image, random, strength)[None])
    height, width = image.shape[:2]
    if random.random() < SHADE_SHARE:
        cells = (int(random.integers(2, 5)),) * 2
        shade = 1 + strength * (random.uniform(*SHADE, cells).astype(np.float32) * random.uniform(*SHADE_GAIN) - 1)
        out *= cv2.resize(shade, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    if random.random() < NIGHT_SHARE * strength:
        out *= random.uniform(*NIGHT)
        y, x = np.ogrid[:height, :width]
        for _ in range(int(random.integers(0, 3))):
            left, top, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(*LAMP_PX)
            spot = np.exp(-((x - left) ** 2) / (2 * radius**2)) * np.exp(-((y - top) ** 2) / (2 * radius**2))
            out += (spot * random.uniform(*LAMP)).astype(np.float32)[..., None]
    return out


def _noisy(image: np.ndarray, random: np.random.Generator, strength: float, cv2: Any) -> np.ndarray:
    if random.random() < NOISE_SHARE:
        image += random.standard_normal(image.shape, dtype=np.float32) * random.uniform(0, NOISE * strength)
    return image


def _coded(image: np.ndarray, cv2: Any) -> np.ndarray:
    """[0, 1] -> 8 bits."""
    return cv2.convertScaleAbs(np.maximum(image, 0, out=image), alpha=255)
