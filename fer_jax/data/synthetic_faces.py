"""The embedded faces: drawn by the program, with FER2013's size and classes, and no file to find.

A face is an oval with brows, eyes, a nose and a mouth on a shaded ground. The expression sets where those stand and how
far they open; person, camera and light differ in every picture. Units below are half the height of a face, from its
centre, y downwards.
"""

import numpy as np

from fer_jax.data.dataset import DataSet, Split

CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

_SIDE = 48
_SIZES = {"train": 2000, "validation": 400, "test": 400}
# Drawn at a time, so that what is worked on stays in the processor's cache.
_BLOCK = 25

# Of each expression, at full strength: what is added to the neutral face.
#   brow: height of the whole brow (up is negative), then of its inner end and of its outer end.
#   eye: height of the opening. mouth: height of its middle, half its width, how far its corners lie above the middle,
#   the height of its opening. lip: how far the upper lip is drawn up. nose: how dark the folds beside it are.
_MOVES = ("brow", "brow_inner", "brow_outer", "eye", "mouth", "mouth_width", "corners", "opening", "lip", "nose")
_EXPRESSIONS = {
    "angry": (0.03, 0.13, -0.05, -0.01, 0.00, -0.05, -0.04, 0.01, 0.00, 0.15),
    "disgust": (0.05, 0.03, 0.02, -0.04, -0.03, -0.01, -0.05, 0.03, 0.09, 0.60),
    "fear": (-0.07, -0.08, 0.04, 0.05, 0.03, 0.06, -0.03, 0.08, 0.00, 0.00),
    "happy": (0.00, 0.00, 0.00, -0.02, -0.02, 0.09, 0.13, 0.06, 0.00, 0.25),
    "sad": (0.01, -0.12, 0.06, -0.03, 0.01, -0.04, -0.10, 0.00, 0.00, 0.05),
    "surprise": (-0.12, -0.01, 0.01, 0.06, 0.05, -0.09, 0.00, 0.18, 0.00, 0.00),
    "neutral": (0.00,) * 10,
}
# The spread of each move from picture to picture, whatever the expression.
_SPREAD = (0.02, 0.015, 0.015, 0.008, 0.015, 0.02, 0.018, 0.01, 0.012, 0.06)


def load() -> DataSet:
    """Draws the faces: always the same, in about a second.

    Returns:
      'train' with 2,000, 'validation' and 'test' with 400 examples, images [N, 48, 48, 1], classes as even as can be.
    """
    total = sum(_SIZES.values())
    random = np.random.RandomState(0)
    labels = random.permutation(np.arange(total) % len(CLASS_NAMES)).astype(np.int32)
    images = draw(labels, random)
    splits, start = {}, 0
    for name, size in _SIZES.items():
        splits[name] = Split(images[start : start + size], labels[start : start + size])
        start += size
    return DataSet(
        name="synthetic_faces",
        splits=splits,
        class_names=CLASS_NAMES,
        source="2,800 faces of 48x48 drawn by the program, which are of no person",
    )


def draw(labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Draws a face for each label.

    Args:
      labels: int [N], indices into `CLASS_NAMES`.
      random: what everything but the expression is drawn from.

    Returns:
      uint8 [N, 48, 48, 1].
    """
    full = np.array([_EXPRESSIONS[name] for name in CLASS_NAMES])[labels]
    strength = random.uniform(0.65, 1.0, (len(labels), 1))
    moves = full * strength + random.normal(0, 1, full.shape) * _SPREAD
    looks = _looks(random, len(labels))
    noise = random.normal(0, 1, (len(labels), _SIDE, _SIDE)).astype(np.float32)
    images = np.empty((len(labels), _SIDE, _SIDE), np.uint8)
    for start in range(0, len(labels), _BLOCK):
        block = slice(start, start + _BLOCK)
        move = dict(zip(_MOVES, _columns(moves[block]), strict=True))
        look = {name: _columns(values[block, None])[0] for name, values in looks.items()}
        images[block] = _faces(move, look, noise[block])
    return images[..., None]


def _columns(values: np.ndarray) -> list[np.ndarray]:
    """float32 [N, K] -> K arrays [N, 1, 1], which spread over pixels."""
    return [column[:, None, None] for column in values.astype(np.float32).T]


def _looks(random: np.random.RandomState, count: int) -> dict[str, np.ndarray]:
    """What differs from person to person and from camera to camera, float64 [N] each; tones are 0 (black) to 1."""
    ranges = {
        "skin": (0.45, 0.85),
        "ground": (0.05, 0.95),
        "hair": (0.05, 0.4),
        "hairline": (-0.85, -0.6),
        "width": (0.7, 0.85),
        "eye_distance": (0.27, 0.34),
        "eye_height": (-0.25, -0.15),
        "brow_weight": (0.03, 0.06),
        "lips": (0.15, 0.35),
        "size": (18.0, 22.0),
        "tilt": (-0.2, 0.2),
        "across": (-2.0, 2.0),
        "down": (-2.0, 2.0),
        "light": (-0.2, 0.2),
        "light_below": (-0.1, 0.1),
        "noise": (0.01, 0.05),
        "gaze": (-0.03, 0.03),
    }
    return {name: random.uniform(low, high, count) for name, (low, high) in ranges.items()}


def _faces(move: dict[str, np.ndarray], look: dict[str, np.ndarray], noise: np.ndarray) -> np.ndarray:
    """uint8 [N, 48, 48], from parameters [N, 1, 1] and noise [N, 48, 48]."""
    pixel = np.arange(_SIDE, dtype=np.float32) - np.float32((_SIDE - 1) / 2)
    right, down = pixel[None, None, :] - look["across"], pixel[None, :, None] - look["down"]
    cos, sin = np.cos(look["tilt"]), np.sin(look["tilt"])
    x, y = (cos * right + sin * down) / look["size"], (cos * down - sin * right) / look["size"]
    edge = 1.2 / look["size"]

    def cover(depth: np.ndarray) -> np.ndarray:
        """How much of a pixel is inside, 0..1, where `depth` is how far inside it lies."""
        return np.clip(depth / edge + 0.5, 0, 1)

    image = look["ground"] + 0.1 * x

    def paint(tone: np.ndarray | float, covered: np.ndarray) -> None:
        nonlocal image
        image = image + covered * (tone - image)

    oval = np.sqrt((x / look["width"]) ** 2 + y**2)
    crown = np.sqrt((x / (look["width"] + 0.08)) ** 2 + (y + 0.1) ** 2)
    paint(look["hair"], cover(np.minimum(1 - crown, 0.2 - y)))
    paint(look["skin"] - 0.15 * oval**4, cover(np.minimum((1 - oval) * look["width"], y - look["hairline"])))

    # Both halves of a face are the same but for light and gaze: `side` is the distance from its middle line.
    side = np.abs(x)
    from_eye = side - look["eye_distance"]
    eye_y = y - look["eye_height"]
    opening = np.maximum(0.075 + move["eye"], 0.015)
    lid = opening * (1 - (from_eye / 0.14) ** 2)
    eye = cover(lid - np.abs(eye_y))
    paint(0.95, eye)
    gazed = from_eye - np.sign(x) * look["gaze"]
    paint(0.1, eye * cover(0.065 - np.sqrt(gazed**2 + eye_y**2)))
    paint(0.15, cover(0.02 - np.abs(eye_y + lid)) * cover(0.14 - np.abs(from_eye)))

    outward = np.clip(from_eye / 0.17, -1, 1)
    brow_y = -0.19 + move["brow"] - 0.02 * (1 - outward**2)
    brow_y = brow_y + np.where(outward < 0, -outward * move["brow_inner"], outward * move["brow_outer"])
    paint(look["hair"], 0.9 * cover(look["brow_weight"] - np.abs(eye_y - brow_y)) * cover(0.17 - np.abs(from_eye)))

    paint(look["skin"] - 0.25, 0.7 * cover(0.035 - np.abs(y - 0.2)) * cover(0.09 - side))
    fold = np.abs(side - 0.14 - 0.35 * (y - 0.15))
    paint(look["skin"] - 0.35, np.clip(move["nose"], 0, 1) * cover(0.03 - fold) * cover(0.18 - np.abs(y - 0.2)))

    half = 0.26 + move["mouth_width"]
    along = np.clip(side / half, 0, 1) ** 2
    middle = 0.5 + move["mouth"] - move["corners"] * along
    gape = np.maximum(move["opening"], 0) * (1 - along)
    upper, lower = middle - gape - 0.05 - np.maximum(move["lip"], 0) * (1 - along), middle + gape + 0.05
    inside = cover(half - side)
    paint(look["skin"] - look["lips"], cover(np.minimum(y - upper, lower - y)) * inside)
    paint(0.08, cover(np.minimum(y - (middle - gape - 0.012), middle + gape + 0.012 - y)) * inside)
    # Teeth show under the upper lip where it is drawn up or away from the lower one.
    teeth = np.minimum(y - (middle - gape), middle - 0.3 * gape - y)
    paint(0.9, cover(teeth) * inside * np.clip(move["mouth_width"] / 0.06, 0, 1))

    image = image + look["light"] * x + look["light_below"] * y + look["noise"] * noise
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
