"""A sweep from beginning to end: what is kept, what is to be done, training, tables."""

from collections.abc import Sequence
from pathlib import Path

from fer_jax.buckets import local
from fer_jax.errors import ConfigError, UserError, did_you_mean, warn
from fer_jax.lock import only_one
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
    # Here, so that a table can be had without the machinery of training.
    from fer_jax.sweep.run import check_data, jobs_of, run_jobs

    if at_once < 0:
        raise ConfigError(f"--at_once must be at least 0, not {at_once}")
    grid, results, kept = open_experiment(file)
    folder = local(workdir or f"runs/sweep/{grid.name}")
    pending = [cell for cell in grid.cells() if cell not in kept.by_cell]
    if dry_run:
        _show(grid, results, kept, pending, folder, data_dir, at_once)
        return
    failed: dict[Cell, str] = {}
    if pending:
        check_same_data(results, kept, check_data(grid, pending, data_dir))
        with only_one(folder):
            mend(results)
            jobs = jobs_of(grid, pending, folder, at_once)
            say(f"{grid.name}: {len(kept.by_cell)} of {len(grid.cells())} cells are done, {len(jobs)} runs to go.")
            cells = set(kept.by_cell)
            failed = run_jobs(grid, jobs, folder, data_dir, cells, lambda rows: append(results.path, rows))
        results = read_results(results.path)
        kept = keep(grid, results.rows)
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
    if pending and load_grid(file).cells() != grid.cells():
        say("\nThese results ask for the next cells.\n")
        sweep(file, workdir=workdir, data_dir=data_dir, at_once=at_once)


def open_experiment(file: str) -> tuple[Grid, Results, Kept]:
    """An experiment with its rows; says on stderr what of these does not count.

    Raises:
      UserError: the experiment or its results cannot be read.
    """
    grid = load_grid(file)
    results = read_results(grid.folder / FILE)
    kept = keep(grid, results.rows)
    for note in (results.note(), kept.note(results.path)):
        if note:
            warn(note)
    return grid, results, kept


def check_same_data(results: Results, kept: Kept, fingerprints: dict[str, str]) -> None:
    """Checks that the rows of variants were measured on the data that are found now.

    Raises:
      ConfigError: they were not.
    """
    for cell, row in kept.by_cell.items():
        if row["data"] != fingerprints.get(cell.variant, row["data"]):
            raise ConfigError(
                f"{results.path}: the row of {cell} was measured on other data (fingerprint {row['data'][:12]}) than "
                f"are found now ({fingerprints[cell.variant][:12]}): name their folder with --data_dir, or move that "
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


def _show(
    grid: Grid, results: Results, kept: Kept, pending: Sequence[Cell], folder: Path, data_dir: str, at_once: int
) -> None:
    """The grid, and how long it will take."""
    from fer_jax.sweep.estimate import estimate
    from fer_jax.sweep.run import check_data, jobs_of

    seeds = grid.seeds
    say(f"{grid.name}: {len(grid.recipes)} variants x {len(seeds)} seeds ({seeds[0]} to {seeds[-1]})")
    if grid.question:
        say(f"    {grid.question.splitlines()[0]}")
    width = max(map(len, grid.recipes))
    for name, recipe in grid.recipes.items():
        done = [cell.seed for cell in kept.by_cell if cell.variant == name]
        changes = ", ".join(f"{key} = {value}" for key, value in recipe.changes.items()) or "the base config"
        say(
            f"    {name:<{width}}  {len(done)}/{len(seeds)} done  {recipe.params['total']:,} parameters, "
            f"{recipe.config.epochs} epochs: {changes}"
            + (" (baseline)" if name == grid.experiment.baseline_name else "")
        )
    if not pending:
        say("All cells are done.")
        return
    check_same_data(results, kept, check_data(grid, pending, data_dir))
    jobs = jobs_of(grid, pending, folder, at_once)
    seconds, basis = estimate(grid, kept.by_cell, jobs, data_dir)
    say(f"To do: {len(pending)} cells in {_count(len(jobs), 'run')}:")
    for job in jobs:
        begun = " (begun)" if (folder / job.name).is_dir() else ""
        say(f"    {job}{begun}")
    say(f"About {format_seconds(seconds)}, {basis}. Nothing was trained or written.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
