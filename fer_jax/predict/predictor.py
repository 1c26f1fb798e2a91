"""A trained network that answers pictures: read, framed, shown to the network in batches, calibrated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from fer_jax.config import check_at_least, check_at_most, check_choice, check_number
from fer_jax.data.fit_image import Source, read_picture
from fer_jax.data.views import VIEWS
from fer_jax.errors import DataError
from fer_jax.models.lowering import FEW
from fer_jax.open_released import open_released
from fer_jax.open_trained import Trained, open_trained
from fer_jax.predict.calibration import Calibration, calibrate
from fer_jax.predict.faces import Box
from fer_jax.predict.framing import DETECT, Crop, Framer, make_framer
from fer_jax.predict.given import Given, named
from fer_jax.scores import log_probabilities
from fer_jax.sharding import device_count, make_mesh, replicated, round_up, sharded_rows
from fer_jax.steps import predict_view
from fer_jax.writers import stand_in_sentences

MOST_PIXELS = 2**26
"""Pixels of whole pictures that wait for their batch to be full, at most: some 200 MB in colour."""


class Item(NamedTuple):
    """A picture to be answered.

    Attributes:
      name: of the picture, for the answer and for errors.
      source: the picture, or the error that it could not be had for.
      place: what else tells it from others: 'frame' and 'seconds' of a video.
    """

    name: str
    source: Source | DataError
    place: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Prediction:
    """What the network says of a picture, or of one face in it.

    Attributes:
      image: the place of the picture among those given, from 0.
      label: the most probable class; None where it is withheld, or nothing was found in the picture.
      probability: of the most probable class, from 0 to 1; None where nothing was found.
      probabilities: of every class; empty where nothing was found.
      withheld: whether the probability is below what was asked for.
      problem: why there is no answer; '' where there is one.
      box: of the face, in pixels of the picture upright; None where none was looked for.
      inverted: whether a digit was dark on light and was inverted; None where none was looked for.
      centred: whether a digit was cut out, scaled and centred; None as well.
      doubt: why a digit may be none, or several; '' where nothing tells against it, or none was looked for.
      logits: float64 [classes], before calibration; with test-time augmentation the logarithms of the mean
        probabilities.
    """

    image: int
    label: str | None = None
    probability: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    withheld: bool = False
    problem: str = ""
    box: Box | None = None
    inverted: bool | None = None
    centred: bool | None = None
    doubt: str = ""
    logits: np.ndarray | None = field(default=None, repr=False, compare=False)


class Answer(NamedTuple):
    """An item and what is said of it: its predictions, or the problem that it has.

    Attributes:
      item: as it was given.
      predictions: at least one if there is no problem; the largest face first.
      problem: '' if there is none.
      unread: whether the problem is that the picture could not be read, and not that nothing was found in it.
      picture: uint8 [H, W, 1 or 3]; None if it could not be read.
    """

    item: Item
    predictions: list[Prediction]
    problem: str
    unread: bool
    picture: np.ndarray | None


class Predictor:
    """Answers pictures with a trained network; made by `predict.load`.

    Attributes:
      trained: the network and its run.
      class_names: in the order of the logits.
      view: what is shown of each image: 'plain', 'flip' or 'ten_crop'.
      calibration: what the logits are divided by.
      about: how pictures are framed, in words.
      stand_in: what must be said with every answer of a network that was trained on stand-in data; '' otherwise.
    """

    def __init__(self, trained: Trained, framer: Framer, view: str, batch_size: int, abstain: float):
        self.trained = trained
        self.class_names: Sequence[str] = trained.dataset.class_names
        self.view = view
        self.calibration = Calibration(None, "uncalibrated, as asked for")
        self.about = framer.about
        sentences = stand_in_sentences(trained.dataset)
        self.stand_in = " ".join([sentences[0], sentences[2]]) if sentences else ""
        self._framer, self._batch_size, self._abstain = framer, batch_size, abstain
        self._programs: dict[int, Any] = {}

    def __call__(self, images: Given | Iterable[Given]) -> list[Prediction]:
        """Predicts for pictures.

        Args:
          images: one or several, each a file (its path, its bytes, or opened in binary), what Pillow has opened, or
            pixels uint8 [H, W] or [H, W, 1 or 3], of NumPy, of JAX or as lists; several may be one array uint8
            [N, H, W, 1 or 3].

        Returns:
          One prediction for each picture, in their order; of pictures in which faces are looked for one for each face,
          the largest first. A picture in which nothing was found has one that says so.

        Raises:
          DataError: naming the first picture that cannot be read, or is none.
        """
        items = (Item(name, source) for name, source in named(images))
        found: list[Prediction] = []
        for answer in self.answers(items):
            if answer.unread:
                raise DataError(answer.problem)
            image = found[-1].image + 1 if found else 0
            nothing = [Prediction(image, problem=answer.problem)]
            found += answer.predictions or nothing
        return found

    def answers(self, items: Iterable[Item], at_once: bool = False) -> Iterator[Answer]:
        """Answers items in their order, as soon as a batch is full; with `at_once` each by itself."""
        waiting: list[tuple[Item, np.ndarray | None, list[Crop], str]] = []
        start = count = pixels = 0
        width = None
        for item in items:
            picture, crops, problem = self._framed(item)
            waiting.append((item, picture, crops, problem))
            count, pixels = count + len(crops), pixels + (0 if picture is None else picture[..., 0].size)
            if at_once or count >= self._batch_size or pixels > MOST_PIXELS:
                # What is left at the end of many is shown in the program that they were shown in.
                width = width if at_once else self._batch_size
                yield from self._answered(waiting, start, width)
                start, count, pixels, waiting = start + len(waiting), 0, 0, []
        yield from self._answered(waiting, start, width)

    def logits(self, images: np.ndarray, width: int | None = None) -> np.ndarray:
        """The logits of framed images, in batches of one width, of which the last is filled up.

        Args:
          images: uint8 [N, H, W, C].
          width: of a batch; None takes 8 for 8 images or fewer, and otherwise the predictor's.

        Returns:
          float64 [N, classes].
        """
        width = width or (min(FEW, self._batch_size) if len(images) <= FEW else self._batch_size)
        found = [np.empty((0, len(self.class_names)))]
        for start in range(0, len(images), width):
            batch = images[start : start + width]
            found.append(self._run(batch, width)[: len(batch)])
        return np.concatenate(found)

    def _run(self, batch: np.ndarray, width: int) -> np.ndarray:
        """The logits [at least N, classes] of at most `width` images, by the program of that width."""
        if width not in self._programs:
            mesh = make_mesh(device_count(width))
            model = self.trained.core.model
            program = jax.jit(
                partial(predict_view, view=self.view, model=model),
                in_shardings=(replicated(mesh), sharded_rows(mesh)),
                out_shardings=replicated(mesh),
            )
            self._programs[width] = (program, jax.device_put(self.trained.state, replicated(mesh)), mesh)
        program, state, mesh = self._programs[width]
        filled = np.zeros((round_up(width, mesh), *batch.shape[1:]), np.uint8)
        filled[: len(batch)] = batch
        return np.asarray(program(state, filled), np.float64)

    def _framed(self, item: Item) -> tuple[np.ndarray | None, list[Crop], str]:
        """The picture of an item, what of it the network is shown, and what is wrong with it."""
        if isinstance(item.source, DataError):
            return None, [], str(item.source)
        try:
            picture = read_picture(item.source, item.name)
            crops = self._framer.crops(picture)
        except DataError as error:
            return None, [], str(error)
        return picture, crops, "" if crops else self._framer.nothing

    def _answered(self, waiting: Sequence[Any], start: int, width: int | None) -> Iterator[Answer]:
        crops = [crop for _, _, of_picture, _ in waiting for crop in of_picture]
        logits = iter(self.logits(np.stack([crop.image for crop in crops]), width) if crops else ())
        for place, (item, picture, of_picture, problem) in enumerate(waiting, start):
            predictions = [self._prediction(place, crop, next(logits)) for crop in of_picture]
            yield Answer(item, predictions, problem, picture is None, picture)

    def _prediction(self, place: int, crop: Crop, logits: np.ndarray) -> Prediction:
        probabilities = np.exp(log_probabilities(logits[None] / (self.calibration.temperature or 1.0)))[0]
        best = int(logits.argmax())
        probability = float(probabilities[best])
        withheld = probability < self._abstain
        return Prediction(
            image=place,
            label=None if withheld else self.class_names[best],
            probability=probability,
            probabilities=dict(zip(self.class_names, probabilities.tolist(), strict=True)),
            withheld=withheld,
            box=crop.box,
            inverted=crop.inverted,
            centred=crop.centred,
            doubt=crop.doubt,
            logits=logits,
        )


def load(
    workdir: str,
    *,
    model: str,
    checkpoint: str | int,
    member: int | None,
    tta: str,
    detect: str,
    detector: str,
    calibrate: bool,
    abstain: float,
    batch_size: int,
    data_dir: str,
) -> Predictor:
    """As `fer_jax.predict.load`."""
    if tta:
        check_choice("--tta", tta, VIEWS[1:])
    check_choice("--detect", detect, DETECT)
    check_number("--abstain", abstain)
    check_number("--batch_size", batch_size, whole=True)
    if member is not None:
        check_number("--member", member, whole=True)
    check_at_least("--abstain", abstain, 0)
    check_at_most("--abstain", abstain, 1)
    check_at_least("--batch_size", batch_size, 1)
    trained = (
        open_released(model)
        if model
        else open_trained(workdir, checkpoint=checkpoint, member=member, data_dir=data_dir)
    )
    framer = make_framer(trained.dataset, trained.core.model.image_shape, detect, detector)
    predictor = Predictor(trained, framer, tta or "plain", batch_size, abstain)
    if calibrate:
        predictor.calibration = _calibration(predictor, data_dir)
    return predictor


def _calibration(predictor: Predictor, data_dir: str) -> Calibration:
    return calibrate(predictor.trained, predictor.view, predictor.logits, data_dir)
