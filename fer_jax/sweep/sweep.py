"""A sweep from beginning to end: what is kept, what is to be done, training, tables."""

import contextlib
from pathlib import Path

from fer_jax.buckets import local
from fer_jax.errors import ConfigError, UserError, did_you_mean, warn
from fer_jax.lock import only_one, only_one_sweep
from fer_jax.sweep.grid import Cell, Grid, load_grid
from fer_jax.sweep.results import FILE, Kept, Results, append, keep, mend, read_results
from fer_jax.sweep.table import FORMATS
from fer_jax.sweep.tables import make_tables
from fer_jax.sweep.write import write_folder
from fer_jax.writers import format_seconds, say


def sweep(file: str, *, workdir: str = "", data_dir: str = "", at_once: int = 0, dry_run: bool = False) -> None:
    """Runs the cells of an experiment that are not yet done, and writes its tables and plots.

    Goes on where the experiment states more cells once these are done, as `halving` does.

    Args:
      file: the experiment.
      workdir: holds the runs; '' is runs/sweep/<name of the experiment's folder>.
      data_dir: as in training.
      at_once: the most cells in a run; 0 is one a device on a CPU, and 16 elsewhere.
      dry_run: train and write nothing; show the grid and how long it will take.

    Raises:
      UserError: what the user can mend; a cell that failed, when all others are done.
    """
    if at_once < 0:
        raise ConfigError(f"--at_once must be at least 0, not {at_once}")
    if dry_run:
        grid, results, kept = open_experiment(file)
        _show(grid, results, kept, _folder(grid, workdir), data_dir, at_once)
        return
    # Held before the rows are read: what another sweep adds after that would be trained again, or lost.
    with only_one_sweep(Path(file).parent):
        while _sweep(file, workdir, data_dir, at_once):
            say("\nThese results ask for the next cells.\n")


def _folder(grid: Grid, workdir: str) -> Path:
    return local(workdir or f"runs/sweep/{grid.name}")


def _pending(grid: Grid, kept: Kept) -> list[Cell]:
    return [cell for cell in grid.cells() if cell not in kept.by_cell]


def _sweep(file: str, workdir: str, data_dir: str, at_once: int) -> bool:
    """Does what `sweep` does, for the cells that the experiment states now; whether it then states others."""
    # Here, so that a table can be had without the machinery of training.
    from fer_jax.sweep.run import check_data, jobs_of, run_jobs

    grid, results, kept = open_experiment(file)
    folder, pending = _folder(grid, workdir), _pending(grid, kept)
    failed: dict[Cell, str] = {}
    if pending:
        # Of finished variants too: what is trained now stands beside them in the tables.
        check_same_data(results, kept, check_data(grid, grid.cells(), data_dir))
        # The experiment's own folder is held already.
        own = folder.resolve() == grid.folder.resolve()
        with contextlib.nullcontext() if own else only_one(folder):
            mend(results)
            jobs = jobs_of(grid, pending, folder, at_once)
            say(f"{grid.name}: {len(kept.by_cell)} of {len(grid.cells())} cells are done, {len(jobs)} runs to go.")
            cells = set(kept.by_cell)
            failed = run_jobs(grid, jobs, folder, data_dir, cells, lambda rows: append(results.path, rows))
        results, kept = _read(grid)
    else:
        say(f"{grid.name}: all {len(grid.cells())} cells are done; nothing was trained.")
    if kept.by_cell:
        files = write_folder(grid, kept)
        say(f"\n{FORMATS['markdown'](make_tables(grid, kept)['variants'])}")
        say(f"Written: {', '.join(path.name for path in [results.path, *files])} in {grid.folder}")
    if failed:
        say("\nFailed:")
        for cell, sentence in failed.items():
            say(f"  {cell}: {sentence}")
        raise UserError(
            f"{len(failed)} of {len(grid.cells())} cells failed ({'; '.join(map(str, list(failed)[:5]))}"
            f"{'; ...' if len(failed) > 5 else ''}): the reasons stand above, and the other cells are in the tables"
        )
    return bool(pending) and load_grid(file).cells() != grid.cells()


def open_experiment(file: str) -> tuple[Grid, Results, Kept]:
    """An experiment with its rows; says on stderr what of these does not count.

    Raises:
      UserError: the experiment or its results cannot be read, or its rows are not of one experiment.
    """
    grid = load_grid(file)
    results, kept = _read(grid)
    for note in (results.note(), kept.note(results.path)):
        if note:
            warn(note)
    return grid, results, kept


def _read(grid: Grid) -> tuple[Results, Kept]:
    """The rows of an experiment, checked: tables compare them.

    Raises:
      UserError: they cannot be read, one is not of its variant, or rows on the same data are on different ones.
    """
    results = read_results(grid.folder / FILE)
    kept = keep(grid, results.rows)
    first: dict[str, tuple[Cell, str]] = {}
    for cell, row in kept.by_cell.items():
        recipe = grid.recipes[cell.variant]
        for key in ("epochs", "protocol"):
            if row[key] != recipe.config[key]:
                raise UserError(
                    f"{results.path}: the row of {cell} says {key} = {row[key]}, and its variant has "
                    f"{recipe.config[key]}: restore that line, or take it out"
                )
        other, fingerprint = first.setdefault(recipe.data_key(cell.repeat.fold), (cell, row["data"]))
        if row["data"] != fingerprint:
            raise ConfigError(
                f"{results.path}: the rows of {other} and of {cell} were measured on different data (fingerprints "
                f"{fingerprint[:12]} and {row['data'][:12]}), so no table can compare them: take the rows on the "
                "wrong data out, and sweep again"
            )
    return results, kept


def check_same_data(results: Results, kept: Kept, fingerprints: dict[Cell, str]) -> None:
    """Checks that the rows of cells were measured on the data that are found now.

    Raises:
      ConfigError: they were not.
    """
    for cell, row in kept.by_cell.items():
        if row["data"] != fingerprints.get(cell, row["data"]):
            raise ConfigError(
                f"{results.path}: the row of {cell} was measured on other data (fingerprint {row['data'][:12]}) than "
                f"are found now ({fingerprints[cell][:12]}): name their folder with --data_dir, or move that "
                "file away to begin anew"
            )


def print_table(file: str, name: str, form: str) -> None:
    """Prints a table of what is done.

    Args:
      file: the experiment.
      name: of the table.
      form: 'markdown', 'csv' or 'latex'.

    Raises:
      UserError: no such table, or no cell is done.
    """
    grid, results, kept = open_experiment(file)
    if not kept.by_cell:
        raise UserError(f"{results.path} has no row yet: run the sweep first")
    tables = make_tables(grid, kept)
    if name not in tables:
        raise ConfigError(f"--table={name}: no such table; {did_you_mean(name, tables)}")
    print(FORMATS[form](tables[name]), end="")


def _show(grid: Grid, results: Results, kept: Kept, folder: Path, data_dir: str, at_once: int) -> None:
    """The grid, and how long it will take."""
    from fer_jax.sweep.estimate import estimate
    from fer_jax.sweep.run import check_data, jobs_of

    seeds, pending = grid.seeds, _pending(grid, kept)
    each = len(seeds) * len(grid.folds)
    sides = [_count(len(grid.recipes), "variant"), f"{_count(len(seeds), 'seed')} ({seeds[0]} to {seeds[-1]})"]
    sides += [_count(len(grid.folds), "fold")] if grid.experiment.folds else []
    say(f"{grid.name}: {' x '.join(sides)}")
    if grid.question:
        say(f"    {grid.question.splitlines()[0]}")
    width = max(map(len, grid.recipes))
    for name, recipe in grid.recipes.items():
        done = [cell for cell in kept.by_cell if cell.variant == name]
        changes = ", ".join(f"{key} = {value}" for key, value in recipe.changes.items()) or "the base config"
        say(
            f"    {name:<{width}}  {len(done)}/{each} done  {recipe.params['total']:,} parameters, "
            f"{recipe.config.epochs} epochs: {changes}"
            + (" (baseline)" if name == grid.experiment.baseline_name else "")
        )
    if not pending:
        say("All cells are done.")
        return
    check_same_data(results, kept, check_data(grid, grid.cells(), data_dir))
    jobs = jobs_of(grid, pending, folder, at_once)
    seconds, basis = estimate(grid, kept.by_cell, jobs, data_dir)
    say(f"To do: {len(pending)} cells in {_count(len(jobs), 'run')}:")
    for job in jobs:
        begun = " (begun)" if (folder / job.name).is_dir() else ""
        say(f"    {job}{begun}")
    say(f"About {format_seconds(seconds)}, {basis}. Nothing was trained or written.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
