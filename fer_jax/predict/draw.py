"""Pictures with what was said of them drawn in: boxes, labels and probabilities."""

import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer_jax.errors import ConfigError, UserError
from fer_jax.files import behind_links
from fer_jax.predict.predictor import Answer, Prediction

_INK, _PAPER = (255, 255, 255), (200, 30, 30)


class Drawings:
    """Writes a PNG for each answer into a folder.

    Args:
      folder: made when the first picture is written; if it is there it must be empty.
      overwrite: whether there may be files in the folder; those of the same names are replaced.

    Raises:
      ConfigError: the folder is a file, or holds files.
    """

    def __init__(self, folder: str, overwrite: bool = False):
        self._folder = Path(folder)
        self._names: set[str] = set()
        if self._folder.exists() and not self._folder.is_dir():
            raise ConfigError(f"--draw={folder} is a file: name a folder")
        if self._folder.is_dir() and any(self._folder.iterdir()) and not overwrite:
            raise ConfigError(f"--draw={folder} holds files: name another folder, or add --overwrite")

    def write(self, answer: Answer, stand_in: str = "") -> None:
        """Draws an answer, with a line that says so if it is of a stand-in; nothing if its picture was not read.

        Raises:
          UserError: the file cannot be written, or would take the place of something else than a file.
        """
        if answer.picture is None:
            return
        path = self._folder / self._name(answer)
        target = behind_links(path)
        partial = target.with_name(target.name + ".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            drawn(answer, stand_in).save(partial, "PNG")
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise UserError(f"{path} cannot be written: {error.strerror}") from error

    def _name(self, answer: Answer) -> str:
        """A file name of its own for each picture: pictures in different folders may be called the same."""
        stem = re.sub(r"[^\w.-]+", "_", Path(answer.item.name).stem, flags=re.ASCII)[:100] or "picture"
        frame = answer.item.place.get("frame")
        stem += f"-{frame:06}" if frame is not None else ""
        name, number = stem, 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name)
        return f"{name}.png"


def drawn(answer: Answer, stand_in: str = "") -> Image.Image:
    """The picture of an answer in RGB with its boxes and labels; without a box the label stands below the picture."""
    assert answer.picture is not None
    pixels = answer.picture
    image = Image.fromarray(pixels.repeat(3, 2) if pixels.shape[-1] == 1 else np.ascontiguousarray(pixels))
    size = min(28, max(12, image.height // 25))
    below = [_label(one) for one in answer.predictions if not one.box] or ([answer.problem] if answer.problem else [])
    below += [stand_in] if stand_in else []
    for one in answer.predictions:
        if one.box:
            box = (one.box.left, one.box.top, one.box.left + one.box.width - 1, one.box.top + one.box.height - 1)
            pen = ImageDraw.Draw(image)
            pen.rectangle(box, outline=_PAPER, width=max(2, size // 8))
            _write(pen, image, (box[0], box[1] - size - 4 if box[1] > size + 4 else box[3] + 1), _label(one), size)
    return _with_lines(image, below, size) if below else image


def _label(one: Prediction) -> str:
    return f"{one.label or 'withheld'} {100 * (one.probability or 0):.0f} %"


def _write(pen: ImageDraw.ImageDraw, image: Image.Image, place: tuple[int, int], text: str, size: int) -> None:
    font = ImageFont.load_default(size)
    wide = round(pen.textlength(text, font))
    # Beside the right rim a label is moved in.
    left = max(0, min(place[0], image.width - wide - 4))
    pen.rectangle((left, place[1], left + wide + 3, place[1] + size + 3), fill=_PAPER)
    pen.text((left + 2, place[1]), text, _INK, font)


def _with_lines(image: Image.Image, lines: list[str], size: int) -> Image.Image:
    """The picture with lines of text below it, as wide as they need."""
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(image)
    width = max(image.width, *(round(pen.textlength(line, font)) + 8 for line in lines))
    sheet = Image.new("RGB", (width, image.height + (size + 6) * len(lines)), _PAPER)
    sheet.paste(image)
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        pen.text((4, image.height + (size + 6) * number), line, _INK, font)
    return sheet
