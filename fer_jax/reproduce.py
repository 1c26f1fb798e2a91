"""Runs a published number again, and says whether what comes out is within what its seeds let one expect.

python -m fer_jax.reproduce --list
python -m fer_jax.reproduce digits_smoke/rate-0.001/last
python -m fer_jax.reproduce digits_smoke/rate-0.001/last --seeds=1

A number's id is <experiment>/<variant>/<what>: the folder's name (its date may be left out), the variant's with '-' for
each space, and what the number is: last, best, val_last, val_best, last_difference, best_difference, or a score,
best/flip/twin_free/macro_f1. What is found counts as the same if it falls within the 95 % prediction interval for the
mean of m new runs, mean ± t_{n-1} * s * sqrt(1/n + 1/m): the interval of the mean itself is too narrow, because the new
mean scatters too. The exit code is 0 within it and 1 outside. It is 3 where there is no verdict: a number of one seed
has no interval, so what is found is only shown beside it; and where nothing was trained, or runs were begun before by
another command or at another commit, what is found reproduces nothing. Nothing is written into the experiment's folder.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from fer_jax import command
from fer_jax.buckets import local
from fer_jax.errors import ConfigError, UserError, did_you_mean
from fer_jax.forms import misfit
from fer_jax.lock import only_one

# JAX and what stands on it are imported in the functions, so that a misspelt flag is told at once.

FLAGS = flags.FlagValues()
FLAGS.set_gnu_getopt(True)
_LIST = flags.DEFINE_bool("list", False, "Print the ids of all numbers.", flag_values=FLAGS)
_SEEDS = flags.DEFINE_integer(
    "seeds",
    0,
    "Run the first so many of its seeds, or of its cells where there are folds; default: all.",
    flag_values=FLAGS,
)
_EXPERIMENTS = flags.DEFINE_string(
    "experiments", "experiments", "The folder that holds a folder for each experiment.", flag_values=FLAGS
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "", "The folder of the runs; default: runs/reproduce/<experiment>.", flag_values=FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "The folder that holds a folder for each data set; looks nowhere else.", flag_values=FLAGS
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}_")
_EXAMPLE = "digits_smoke/rate-0.001/last"
_ORIGIN = {"finished": bool, "command": [str], "git": {"commit": (None, str), "dirty": (None, bool)}}
"""What run.json says of where a run comes from."""


class NoVerdict(UserError):
    """A number was compared with what came out, and neither reproduced nor missed."""

    exit_code = 3


def main(words: list[str]) -> None:
    """Does what the flags say, which have been parsed, with the id among the words.

    Raises:
      UserError: what the user can mend; a number that falls outside its interval.
    """
    if not (_LIST.value or words):
        raise ConfigError(f"the id of a number is missing, for example {_EXAMPLE}: --list prints all")
    if len(words) > (0 if _LIST.value else 1):
        raise ConfigError(f"'{words[-1]}' is too much: name the id of one number, or --list")
    if _SEEDS.value < 0:
        raise ConfigError(f"--seeds must be at least 0, not {_SEEDS.value}")
    files = _experiments(Path(_EXPERIMENTS.value))
    command.prepare_jax()
    if _LIST.value:
        list_numbers(files)
        return
    experiment, _, number = words[0].partition("/")
    name = _find(experiment, words[0], files)
    reproduce(files[name], name, number, seeds=_SEEDS.value, workdir=_WORKDIR.value, data_dir=_DATA_DIR.value)


def _experiments(folder: Path) -> dict[str, Path]:
    """The experiment files in a folder, by name: without its date, where that leaves it the only one of that name."""
    files = {path.parent.name: path for path in sorted(folder.glob("*/experiment.py"))}
    if not files:
        raise ConfigError(f"--experiments={folder} holds no */experiment.py: name the folder of the experiments")
    short = [_DATE.sub("", name, count=1) for name in files]
    return {
        brief if short.count(brief) == 1 else name: path
        for (name, path), brief in zip(files.items(), short, strict=True)
    }


def _find(experiment: str, claim: str, files: dict[str, Path]) -> str:
    """The name of an experiment that an id gives with its date or without."""
    for name, path in files.items():
        if experiment in (name, path.parent.name):
            return name
    raise ConfigError(f"no experiment '{experiment}' for '{claim}'; {did_you_mean(experiment, files)}")


def list_numbers(files: dict[str, Path]) -> None:
    """Prints the id of every number of every experiment, with the number."""
    from fer_jax.sweep.numbers import numbers, rows_of
    from fer_jax.sweep.sweep import open_experiment
    from fer_jax.sweep.table import Percent

    lines = []
    for name, path in files.items():
        grid, _, kept = open_experiment(str(path))
        for number in numbers(grid, rows_of(kept)).values():
            text = Percent(number.mean, number.half_width, signed="difference" in number.id).text()
            n = len(number.values)
            lines.append((f"{name}/{number.id}", f"{text} (n = {n}{'' if n > 1 else ': compared, not judged'})"))
    width = max((len(id) for id, _ in lines), default=0)
    for id, text in lines:
        print(f"{id:<{width}}  {text}")


def reproduce(file: Path, name: str, wanted: str, *, seeds: int = 0, workdir: str = "", data_dir: str = "") -> None:
    """Trains the cells behind a number again, and prints and judges what comes out.

    Args:
      file: the experiment.
      name: of the experiment, as ids have it.
      wanted: the number's id without that.
      seeds: the first so many of its seeds, or of its cells where there are folds; 0 is all.
      workdir: the folder of the runs; '' is runs/reproduce/<name>.
      data_dir: as in training.

    Raises:
      ConfigError: there is no such number.
      UserError: what is found falls outside, or a run failed.
      NoVerdict: what is found cannot be judged.
    """
    from fer_jax.sweep.numbers import make_number, numbers, prediction_half_width, rows_of
    from fer_jax.sweep.results import Row, keep
    from fer_jax.sweep.run import check_data, jobs_of, run_jobs
    from fer_jax.sweep.sweep import check_same_data, open_experiment
    from fer_jax.sweep.table import Percent
    from fer_jax.writers import say

    grid, results, kept = open_experiment(str(file))
    known = numbers(grid, rows_of(kept))
    claim = known.get(wanted.replace(" ", "-"))
    if claim is None:
        ids = [f"{name}/{one}" for one in known]
        raise ConfigError(f"no number '{name}/{wanted}'; {did_you_mean(f'{name}/{wanted}', ids)}")
    n, m = len(claim.values), seeds or len(claim.values)
    if m > n:
        raise ConfigError(f"--seeds={m}: '{name}/{wanted}' is of {n} {grid.one_repeat}s")
    folder = local(workdir or f"runs/reproduce/{name}")
    if folder.resolve().is_relative_to(file.parent.resolve()):
        raise ConfigError(f"--workdir={folder} is in the experiment's folder, which must stay as it is: name another")
    cells = [cell for cell in grid.cells() if cell.variant in claim.variants and cell.repeat in claim.repeats[:m]]
    check_same_data(results, kept, check_data(grid, cells, data_dir))
    rows: list[Row] = []
    with only_one(folder):
        jobs = jobs_of(grid, cells, folder, at_once=0)
        doubt = _runs_before({str(job): folder / job.name for job in jobs})
        failed = run_jobs(grid, jobs, folder, data_dir, set(), rows.extend)
    if failed:
        cell, sentence = next(iter(failed.items()))
        raise UserError(f"{cell} could not be run again: {sentence}")
    again = make_number(claim.id, claim.variants, claim.path, rows_of(keep(grid, rows)))
    assert again is not None
    values = [value for one, value in zip(again.repeats, again.values, strict=True) if one in claim.repeats[:m]]
    mean, signed = sum(values) / m, len(claim.variants) == 2
    found = Percent(mean, signed=signed).text()
    stated = Percent(claim.mean, claim.half_width, signed=signed).text()
    say(f"\n{name}/{claim.id}, in per cent")
    say(f"  stated:  {stated} ({'95 % interval of the mean, ' if n > 1 else ''}n = {n})")
    say(f"  now:     {found} (m = {m}: {', '.join(Percent(value, signed=signed).text() for value in values)})")
    if n == 1:
        difference = Percent(mean - claim.mean, signed=True).text()
        say(f"  difference: {difference}")
        also = f", and {doubt}" if doubt else ""
        raise NoVerdict(
            f"{name}/{claim.id}: {found} is {difference} from what is stated, and one run gives no interval to judge "
            f"that by{also}"
        )
    half = prediction_half_width(claim.values, m)
    low, high = (Percent(claim.mean + side * half, signed=signed).text() for side in (-1, 1))
    say(f"  95 % prediction interval for the mean of {m} new runs, mean ± t * s * sqrt(1/{n} + 1/{m}): {low} to {high}")
    # Means of the same values may differ by a rounding, and s may be 0.
    within = abs(mean - claim.mean) <= half + 1e-12
    if doubt:
        raise NoVerdict(
            f"{name}/{claim.id}: {found} falls {'within' if within else 'outside'} {low} to {high}, which is no "
            f"verdict: {doubt}"
        )
    if not within:
        raise UserError(f"{name}/{claim.id}: {found} falls outside {low} to {high}, so the number was not reproduced")
    say("  It falls within: reproduced.")


def _runs_before(runs: Mapping[str, Path]) -> str:
    """Tells which of the runs were begun before.

    A call that was killed goes on: what this command began, with the code that there is now, is of this call.

    Args:
      runs: the folder of each, by its name in words.

    Returns:
      Why what comes out of them reproduces nothing; '' where it does.

    Raises:
      UserError: the run.json of one cannot be read.
    """
    from fer_jax import provenance
    from fer_jax.writers import say

    now = _commit(provenance.git_state(Path(__file__)))
    finished, foreign, commits = 0, 0, set()
    for name, folder in runs.items():
        record = provenance.read_json(folder / provenance.FILE)
        if record is None:
            continue
        known = misfit(record, _ORIGIN) is None
        commit = _commit(record["git"]) if known else "unknown"
        own = known and record["command"][2:3] == ["fer_jax.reproduce"]
        is_finished = known and record["finished"]
        finished += is_finished
        foreign += not (own and commit == now)
        commits.add(commit)
        say(
            f"{name}: {'finished' if is_finished else 'begun'} before in {folder}, at commit {commit}"
            f"{'' if own else ' by another command'}; delete that to train it anew."
        )
    told = ", ".join(sorted(commits))
    if finished == len(runs):
        return f"nothing was trained, so it compares with runs of commit {told} that were finished before"
    if foreign:
        return f"{foreign} of {len(runs)} runs were begun before by another command or at another commit ({told})"
    return ""


def _commit(git: Mapping[str, Any]) -> str:
    """What run.json says of the code, in words."""
    return f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}" if git["commit"] else "unknown"


if __name__ == "__main__":
    command.run(main, FLAGS)
