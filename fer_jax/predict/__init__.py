"""Predicting with a trained network: pictures in, labels and probabilities out.

from fer_jax import predict

predictor = predict.load("runs/mnist_15k")  # or a network that comes with the package: load(model="mnist_15k")
for one in predictor(["three.png", "seven.jpg"]):
    print(one.image, one.label, one.probability)
"""

from typing import TYPE_CHECKING

from fer_jax.config import check_network

if TYPE_CHECKING:
    from fer_jax.predict.predictor import Predictor

# JAX is imported in the function, so that the command in this package tells a misspelt flag at once.


def load(
    workdir: str = "",
    *,
    model: str = "",
    checkpoint: str | int = "best",
    member: int | None = None,
    tta: str = "",
    detect: str = "auto",
    detector: str = "",
    calibrate: bool = True,
    abstain: float = 0.0,
    batch_size: int = 64,
    data_dir: str = "",
) -> "Predictor":
    """Opens the network of a run, or one that comes with the package, for predictions.

    Args:
      workdir: the run's folder.
      model: in its place the name of a network in `fer_jax.releases.names()`, which needs no data.
      checkpoint: 'best', 'last' or the number of a step.
      member: of a run with several, counted from 0; None is the first.
      tta: test-time augmentation, 'flip' or 'ten_crop'; '' is none.
      detect: what is looked for in a picture: 'faces', 'digits', 'none' (the whole picture is shown to the network), or
        'auto': what the network was trained on.
      detector: a YuNet model that looks for the faces; '' is OpenCV's own cascade.
      calibrate: whether probabilities are calibrated by the run's validation split; see `calibration`. A release
        brings what its run's split gave.
      abstain: below this probability, from 0 to 1, the label is withheld.
      batch_size: pictures that the network is shown at once; it changes speed and memory only.
      data_dir: as in training; read for the calibration only.

    Raises:
      ConfigError: no run in `workdir`, no such model, or an option that it does not have.
      CheckpointError: no such checkpoint, or it fails the checks that were saved with it; or the release is damaged.
      UserError: OpenCV is needed and not installed, or a file of the run or the detector's is damaged.
    """
    check_network(workdir, model, checkpoint, member)
    from fer_jax.predict import predictor

    return predictor.load(
        workdir,
        model=model,
        checkpoint=checkpoint,
        member=member,
        tta=tta,
        detect=detect,
        detector=detector,
        calibrate=calibrate,
        abstain=abstain,
        batch_size=batch_size,
        data_dir=data_dir,
    )
