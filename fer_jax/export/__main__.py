"""Exports a trained network to another runtime, and verifies the file there: uint8 images in, probabilities out.

python -m fer_jax.export --workdir=runs/mnist_15k --format=onnx
python -m fer_jax.export --workdir=runs/fer2013_mini --format=all --int8
python -m fer_jax.export --workdir=runs/mnist_15k --format=web
python -m fer_jax.export --model=mnist_15k --format=onnx
"""

from absl import flags

from fer_jax import command
from fer_jax.config import check_network
from fer_jax.errors import ConfigError, DataError

# JAX and what stands on it are imported in the function, so that a misspelt flag is told at once.

FLAGS = flags.FlagValues()
_WORKDIR = flags.DEFINE_string("workdir", "", "The folder of the trained run.", flag_values=FLAGS)
_MODEL = flags.DEFINE_string(
    "model", "", "In place of --workdir: the name of a network that comes with fer_jax.", flag_values=FLAGS
)
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    ["stablehlo", "onnx", "safetensors", "keras", "web", "all"],
    "What to write; all is every one but web.",
    flag_values=FLAGS,
)
_CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best, last or the number of a step.", flag_values=FLAGS)
_MEMBER = flags.DEFINE_integer(
    "member", None, "Of a run with several members: which, counted from 0; default: 0.", flag_values=FLAGS
)
_ENSEMBLE = flags.DEFINE_bool(
    "ensemble", False, "All members of a run as one network, by the mean of their probabilities.", flag_values=FLAGS
)
_OUT = flags.DEFINE_string(
    "out",
    "",
    "The file, or a folder for it; default: model.* in the folder 'export' of the run, or NAME.* here for --model.",
    flag_values=FLAGS,
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace what is there already.", flag_values=FLAGS)
_INT8 = flags.DEFINE_bool(
    "int8", False, "ONNX with 8-bit integers. Evaluates it on the test split, which is counted.", flag_values=FLAGS
)
_RUNTIME = flags.DEFINE_string(
    "runtime", "", "For --format=web: a folder with onnxruntime-web; default: from npm, once.", flag_values=FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "The folder that holds a folder for each data set; looks nowhere else.", flag_values=FLAGS
)


def main() -> None:
    """Does what the flags say, which have been parsed.

    Raises:
      UserError: what the user can mend.
    """
    check_network(_WORKDIR.value, _MODEL.value, _CHECKPOINT.value, _MEMBER.value)
    if not _FORMAT.value:
        raise ConfigError("--format is missing: stablehlo, onnx, safetensors, keras, web or all")
    command.prepare_jax()
    from fer_jax.export.write import export

    try:
        export(
            _WORKDIR.value,
            name=_FORMAT.value,
            model=_MODEL.value,
            checkpoint=_CHECKPOINT.value,
            member=_MEMBER.value,
            ensemble=_ENSEMBLE.value,
            out=_OUT.value,
            overwrite=_OVERWRITE.value,
            int8=_INT8.value,
            runtime=_RUNTIME.value,
            data_dir=_DATA_DIR.value,
        )
    except ConfigError as error:
        if _WORKDIR.value:
            _check_stand_in_is_had(_WORKDIR.value, _DATA_DIR.value, error)
        raise


def _check_stand_in_is_had(workdir: str, data_dir: str, error: ConfigError) -> None:
    """Raises ConfigError in place of `error` if the run is on a stand-in and the real data are found now."""
    from fer_jax import data
    from fer_jax.buckets import local
    from fer_jax.open_run import read_trained_run

    config, record = read_trained_run(local(workdir))
    if not record["stand_in"]:
        return
    try:
        found = data.load(**config["data"], data_dir=data_dir)
    except DataError:
        return
    if not found.stand_in_for:
        wanted, given = found.name, record["data"]["name"]
        raise ConfigError(
            f"--workdir={workdir} was trained on {given}, which stood in for {wanted}, and {wanted} is found now: to "
            "export it all the same, hide that for one command (FER_JAX_DATA= FER_JAX_OFFLINE=1 XDG_CACHE_HOME=EMPTY "
            "before it, where EMPTY is an empty folder, and no --data_dir), or train it again on the real data"
        ) from error


if __name__ == "__main__":
    command.run(main, FLAGS)
