"""Makes a network that comes with the package of a finished run: `predict --model=NAME` then needs no run and no data.

python -m fer_jax.release --workdir=runs/mnist_15k --name=mnist_15k
python -m fer_jax.release --workdir=runs/fer2013_mini --name=fer2013_mini --overwrite

Writes released/NAME.safetensors (weights, config, the record of the run, its temperature), the model card NAME.md and
the digests of both into SHA256SUMS, all inside the package, where `fer_jax.releases` reads them. The state is the one
that a validation split selected, or else the last. The run's data must be there; no split is scored again.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from fer_jax import command
from fer_jax.errors import ConfigError

if TYPE_CHECKING:
    from fer_jax.open_run import Opened
    from fer_jax.releases import Release
    from fer_jax.steps import TrainState

# JAX and what stands on it are imported in the functions, so that a misspelt flag is told at once.

FLAGS = flags.FlagValues()
_WORKDIR = flags.DEFINE_string("workdir", "", "The folder of the finished run.", flag_values=FLAGS)
_NAME = flags.DEFINE_string("name", "", "What it will be called, for example mnist_15k.", flag_values=FLAGS)
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint",
    None,
    ["best", "last"],
    "Which state; default: best if a validation split selected it, or else last.",
    flag_values=FLAGS,
)
_MEMBER = flags.DEFINE_integer(
    "member", None, "Of a run with several members: which, counted from 0; default: 0.", flag_values=FLAGS
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a release of this name.", flag_values=FLAGS)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "The folder that holds a folder for each data set; looks nowhere else.", flag_values=FLAGS
)


def main() -> None:
    """Does what the flags say, which have been parsed.

    Raises:
      UserError: what the user can mend.
    """
    if not _WORKDIR.value:
        raise ConfigError("--workdir=RUN is missing: the folder of a trained run, for example --workdir=runs/mnist_15k")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", _NAME.value):
        raise ConfigError(
            f"--name={_NAME.value}: a release is called by small letters, digits and _, for example --name=mnist_15k"
        )
    command.prepare_jax()
    release(
        _WORKDIR.value,
        _NAME.value,
        checkpoint=_CHECKPOINT.value,
        member=_MEMBER.value,
        overwrite=_OVERWRITE.value,
        data_dir=_DATA_DIR.value,
    )


def release(
    workdir: str,
    name: str,
    *,
    checkpoint: str | None = None,
    member: int | None = None,
    overwrite: bool = False,
    data_dir: str = "",
) -> Path:
    """Writes the files of a release.

    Args:
      workdir: the run's folder.
      name: what it will be called.
      checkpoint: 'best', 'last', or None for the one that no test image has chosen.
      member: of a run with several, counted from 0; None is the first, and says so.
      overwrite: a release of this name is replaced.
      data_dir: as in training.

    Returns:
      The file with the network.

    Raises:
      ConfigError: no run in `workdir`, one that is not finished or on stand-in data, a member it does not have, other
        data than it was trained on, or a name that is taken.
      CheckpointError: the checkpoint fails the checks that were saved with it.
      UserError: a file cannot be written.
    """
    from fer_jax import card, releases
    from fer_jax.buckets import local
    from fer_jax.export.safetensors import pack
    from fer_jax.files import write_whole
    from fer_jax.open_run import member_place, open_run, read_trained_run
    from fer_jax.predict.calibration import about
    from fer_jax.steps import evaluated_part
    from fer_jax.vary import with_values
    from fer_jax.writers import say

    file = releases.FOLDER / f"{name}{releases.SUFFIX}"
    if file.exists() and not overwrite:
        raise ConfigError(f"{file} is there already: add --overwrite to replace it, or choose another --name")
    _, known = read_trained_run(local(workdir))
    if known["stand_in"] or not known["finished"]:
        what = "was trained on stand-in data" if known["stand_in"] else "is not finished"
        raise ConfigError(f"--workdir={workdir} {what}, and is not released")
    which = checkpoint or ("best" if known["selected_by"] == "validation" else "last")
    opened = open_run(workdir, checkpoint=which, data_dir=data_dir)
    run, place = opened.run, member_place(opened.run.members, member)
    one, step = run.members.each[place], opened.steps[place]
    state = run.members.unpack_tree(evaluated_part(opened.restored.arrays["state"]))[place]
    record = _without_places(run.members.record_of(opened.record, place))
    record["data"]["class_names"] = list(run.dataset.class_names)
    config = with_values({**opened.config, "seed": one.seed, "num_seeds": 1, "vary": None}, one.values)
    told = {
        "config": _without_places(config),
        "record": {key: value for key, value in record.items() if key not in ("members", "over_seeds")},
        "step": step,
        "calibrations": _calibrations(opened, place, state),
    }
    weights = {"params": state.params, "batch_stats": state.batch_stats}
    content = pack(weights, {releases.FACTS: json.dumps(told, ensure_ascii=False)})
    opening = [
        f"This is the network that `python -m fer_jax.predict --model={name} PICTURE` answers with. `{file.name}` "
        f"({len(content):,} bytes) holds its weights, its config and the record of its run; `{releases.SUMS}` has its "
        f"digest. It was trained from {one}; this is its {'selected' if which == 'best' else 'last'} state, after "
        f"epoch {step // run.steps_per_epoch}. Its probabilities are {about(record['protocol'], told['calibrations'])}."
    ]
    shown = run._replace(dataset=replace(run.dataset, source=record["data"]["source"]))
    text = card.card(name, shown, told["config"], record, opening, which)
    releases.FOLDER.mkdir(exist_ok=True)
    write_whole(file, content)
    write_whole(file.with_suffix(".md"), text)
    sums = releases.read_sums()
    sums |= {file.name: releases.digest(content), f"{name}.md": releases.digest(text.encode())}
    write_whole(releases.FOLDER / releases.SUMS, "".join(f"{sums[each]}  {each}\n" for each in sorted(sums)))
    say(f"{file}, its card {name}.md and {releases.SUMS} are written. Its row in the README's table:")
    say(readme_row(name, releases.read(name), len(content)))
    return file


def readme_row(name: str, found: "Release", size: int) -> str:
    """The row of a release in the README's table; `size` in bytes."""
    from fer_jax.data.subsets import OFFICIAL
    from fer_jax.run_words import with_interval

    record = found.record
    which = "best" if record["best"]["step"] == found.step else "last"
    scores = (record.get("scores") or {}).get(which, {}).get("test")
    plain = scores["plain"][OFFICIAL] if scores else {"accuracy": None, "accuracy_interval": None}
    cells = [
        f"[`{name}`](fer_jax/released/{name}.md)",
        f"{record['params']['total']:,}",
        f"{record['data']['name']}, `{record['protocol']}`, seed {found.config['seed']}",
        "selected" if which == "best" and record["selected_by"] == "validation" else "last",
        with_interval(plain["accuracy"], plain["accuracy_interval"]),
        "yes" if found.calibrations else "no",
        f"{size:,}",
    ]
    return f"| {' | '.join(cells)} |"


def _calibrations(opened: "Opened", place: int, own: "TrainState") -> list[dict[str, Any]]:
    """The temperatures of a member's state `own`, one a view that the run scored; none without a validation split."""
    from fer_jax.data.views import views_up_to
    from fer_jax.evaluate import prepare, split_logits
    from fer_jax.predict.calibration import fit, key_of

    run, examples, found = opened.run, opened.examples, []
    if run.splits.watched_name != "validation":
        return []
    state, prepared = opened.restored.arrays["state"], prepare(examples, run.mesh)
    for view in views_up_to(run.options.tta):
        logits = run.members.unpack(split_logits(run.programs, state, prepared, view))[place]
        key = key_of(own, opened.steps[place], 0, view)
        found.append({**key, "split": opened.split, **fit(logits, examples.labels)})
    return found


def _without_places(value: Any) -> Any:
    """A config or a record without the folders of the machine that it is from."""
    if isinstance(value, Mapping):
        return {key: _without_places(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_places(each) for each in value if not re.match(r"--\w+=/", str(each))]
    if isinstance(value, str):
        kept = re.sub(r"(, prepared in| in|the prepared copy) /[^,;]*", "", value)
        return Path(kept).name if Path(kept).is_absolute() else kept.removeprefix(", ")
    return value


if __name__ == "__main__":
    command.run(main, FLAGS)
