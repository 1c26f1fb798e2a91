"""Predicts with a trained network: pictures in, labels and probabilities out.

python -m fer_jax.predict --model=mnist_15k three.png scans/
python -m fer_jax.predict --workdir=runs/mnist_15k three.png scans/
python -m fer_jax.predict --workdir=runs/fer2013_mini party.jpg --draw=drawn --abstain=0.6
python -m fer_jax.predict --workdir=runs/fer2013_mini clip.mp4 --every=5 --out=clip.csv
python -m fer_jax.predict --workdir=runs/mnist_15k - < three.png

What is named is pictures, folders of pictures, videos, or - for one picture on the standard input. The exit code is 0
if every picture was answered; 1 if one could not be read or nothing was found in it (all others are answered), or the
run cannot be used; 2 if a flag or a name is wrong.
"""

from absl import flags

from fer_jax import command
from fer_jax.config import check_network

# JAX and what stands on it are imported in the function, so that a misspelt flag is told at once.

FLAGS = flags.FlagValues()
FLAGS.set_gnu_getopt(True)
_WORKDIR = flags.DEFINE_string("workdir", "", "The folder of the trained run.", flag_values=FLAGS)
_MODEL = flags.DEFINE_string(
    "model", "", "In place of --workdir: the name of a network that comes with fer_jax.", flag_values=FLAGS
)
_CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best, last or the number of a step.", flag_values=FLAGS)
_MEMBER = flags.DEFINE_integer(
    "member", None, "Of a run with several members: which, counted from 0; default: 0.", flag_values=FLAGS
)
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    ["table", "jsonl", "csv"],
    "How the answers are written; default: as --out ends (.csv, .jsonl, .json, .txt), or table.",
    flag_values=FLAGS,
)
_OUT = flags.DEFINE_string("out", "", "The file for the answers; default: the standard output.", flag_values=FLAGS)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace the file of --out and pictures in the folder of --draw.", flag_values=FLAGS
)
_ABSTAIN = flags.DEFINE_float(
    "abstain", 0.0, "Withhold the label where its probability is below this, 0 to 1.", flag_values=FLAGS
)
_TTA = flags.DEFINE_string("tta", "", "Test-time augmentation: flip or ten_crop.", flag_values=FLAGS)
_DETECT = flags.DEFINE_enum(
    "detect",
    "auto",
    ["auto", "faces", "digits", "none"],
    "What is looked for in a picture: faces, a digit to be framed as MNIST's, or none (the whole picture is shown to "
    "the network); auto is what the network was trained on.",
    flag_values=FLAGS,
)
_DETECTOR = flags.DEFINE_string(
    "detector", "", "A YuNet model (.onnx) that looks for faces; default: OpenCV's Haar cascade.", flag_values=FLAGS
)
_DRAW = flags.DEFINE_string(
    "draw", "", "A folder for the pictures with boxes and labels drawn in, as PNG.", flag_values=FLAGS
)
_CALIBRATE = flags.DEFINE_bool(
    "calibrate", True, "Calibrate probabilities by the run's validation split.", flag_values=FLAGS
)
_CAMERA = flags.DEFINE_integer("camera", None, "The number of a camera, until Ctrl-C.", flag_values=FLAGS)
_EVERY = flags.DEFINE_integer("every", 1, "Take each so many-th frame of a video or camera.", flag_values=FLAGS)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Pictures that the network is shown at once; it changes no number.", flag_values=FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "As in training; the data are read for calibration only.", flag_values=FLAGS
)


def main(words: list[str]) -> None:
    """Does what the flags say, which have been parsed, with what the words name.

    Raises:
      UserError: what the user can mend.
    """
    check_network(_WORKDIR.value, _MODEL.value, _CHECKPOINT.value, _MEMBER.value)
    command.prepare_jax()
    from fer_jax.predict.job import predict

    predict(
        words,
        camera=_CAMERA.value,
        every=_EVERY.value,
        out=_OUT.value,
        kind=_FORMAT.value,
        overwrite=_OVERWRITE.value,
        draw=_DRAW.value,
        workdir=_WORKDIR.value,
        model=_MODEL.value,
        checkpoint=_CHECKPOINT.value,
        member=_MEMBER.value,
        tta=_TTA.value,
        detect=_DETECT.value,
        detector=_DETECTOR.value,
        calibrate=_CALIBRATE.value,
        abstain=_ABSTAIN.value,
        batch_size=_BATCH_SIZE.value,
        data_dir=_DATA_DIR.value,
    )


if __name__ == "__main__":
    command.run(main, FLAGS)
