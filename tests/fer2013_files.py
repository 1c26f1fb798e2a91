"""Small FER2013s, in every form that people have it in, for the tests to write and read."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from fer_jax.data.dataset import Split
from fer_jax.data.fer_plus import VOTES

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
SIZES = {"train": 16, "validation": 9, "test": 8}
COMPACT = {"train": "train", "validation": "public_test", "test": "private_test"}


def tiny_fer2013() -> dict[str, Split]:
    """Noise in three splits that all have every class; two images of 'train' are the same."""
    draw = np.random.RandomState(0)
    splits, start = {}, 0
    for name, size in SIZES.items():
        images = draw.randint(0, 256, (size, 48, 48, 1)).astype(np.uint8)
        images[1] = images[0]
        labels = np.resize(np.arange(7), size).astype(np.int32)
        draw.shuffle(labels)
        splits[name] = Split(images, labels, {"row": np.arange(start, start + size, dtype=np.int32)})
        start += size
    return splits


def csv_lines(splits: dict[str, Split]) -> list[str]:
    """The lines of fer2013.csv, the header first."""
    lines = ["emotion,pixels,Usage"]
    for name, split in splits.items():
        for image, label in zip(split.images, split.labels, strict=True):
            lines.append(f"{label},{' '.join(map(str, image.ravel()))},{USAGES[name]}")
    return lines


def csv_bytes(splits: dict[str, Split]) -> bytes:
    return "".join(f"{line}\n" for line in csv_lines(splits)).encode()


def icml_bytes(splits: dict[str, Split]) -> bytes:
    """icml_face_data.csv: columns in another order, under names that begin with a space."""
    lines = ["emotion, Usage, pixels"]
    for line in csv_lines(splits)[1:]:
        emotion, pixels, usage = line.split(",")
        lines.append(f"{emotion},{usage},{pixels}")
    return "".join(f"{line}\n" for line in lines).encode()


def zip_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def compact_arrays(split: Split) -> dict[str, np.ndarray]:
    """The arrays of a compact .npz: each distinct image once, as residuals of the median predictor."""
    distinct, index = np.unique(split.images[..., 0], axis=0, return_inverse=True)
    padded = np.pad(distinct.astype(int), ((0, 0), (1, 0), (1, 0)))
    west, north, corner = padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]
    guess = np.clip(west + north - corner, np.minimum(west, north), np.maximum(west, north))
    guess[:, 0], guess[:, :, 0] = west[:, 0], north[:, :, 0]
    difference = (distinct - guess).astype(np.int8).astype(int)
    residual = np.where(difference < 0, -2 * difference - 1, 2 * difference)
    return {
        "residual": residual.astype(np.uint8),
        "index": index.ravel().astype(np.uint16),
        "emotion": split.labels.astype(np.uint8),
    }


def write_compact(folder: Path, splits: dict[str, Split]) -> None:
    folder.mkdir(parents=True)
    for name, split in splits.items():
        np.savez(folder / f"fer2013_{COMPACT[name]}.npz", **compact_arrays(split))


def write_pictures(folder: Path, splits: dict[str, Split], name_of=None, ending: str = "png") -> None:
    """Writes train/<emotion>/ and test/<emotion>/; by default numbered per class in the order of the rows.

    `name_of(split name, row, number within the class)` names a picture.
    """
    name_of = name_of or (lambda name, row, number: f"im{number}")
    counts: dict[tuple[str, int], int] = {}
    for name, split in splits.items():
        part = "train" if name == "train" else "test"
        for image, label, row in zip(split.images, split.labels, split.extras["row"], strict=True):
            number = counts[part, label] = counts.get((part, label), -1) + 1
            inside = folder / part / CLASSES[label]
            inside.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(inside / f"{name_of(name, row, number)}.{ending}")


def tiny_votes(splits: dict[str, Split]) -> np.ndarray:
    """Ten votes for each row, uint8 [N, 10]."""
    total = sum(map(len, splits.values()))
    return np.random.RandomState(1).multinomial(10, np.full(10, 0.1), total).astype(np.uint8)


def votes_lines(splits: dict[str, Split], votes: np.ndarray) -> list[str]:
    """The lines of fer2013new.csv, the header first."""
    usages = [USAGES[name] for name, split in splits.items() for _ in range(len(split))]
    lines = [f"Usage,Image name,{','.join(VOTES)}"]
    for row, (usage, counted) in enumerate(zip(usages, votes, strict=True)):
        lines.append(f"{usage},fer{row:07d}.png,{','.join(map(str, counted))}")
    return lines
