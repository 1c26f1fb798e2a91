"""Which cells are trained together: seeds of one variant, and variants that differ only in what `config.vary` varies.

Cells on different folds have different data, and never are.

A job is one run of `fer_jax.train`. A member of a run ends as it would alone to rounding, not to the bit; so who is
trained with whom must not depend on what a kill has left undone. Jobs are therefore cut from the whole grid, and cut
again only where a job that was never started has cells that need no training.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import ml_collections

from fer_jax import models
from fer_jax.build import resolve
from fer_jax.config import defaults, flatten
from fer_jax.sweep.grid import OF_THE_SWEEP, Cell, Grid, Recipe, Repeat, on_fold
from fer_jax.vary import keys_that_vary


class Job(NamedTuple):
    """Cells that are trained in one run.

    Attributes:
      cells: at least one.
      config: of the run, resolved.
      name: of its folder: a digest of the config.
    """

    cells: tuple[Cell, ...]
    config: ml_collections.ConfigDict
    name: str

    def __str__(self) -> str:
        seeds: dict[str, list[int]] = {}
        for cell in self.cells:
            seeds.setdefault(cell.variant, []).append(cell.seed)
        # The seeds of a job are consecutive, and the same for each of its variants.
        found = next(iter(seeds.values()))
        words = f"seed {found[0]}" if len(found) == 1 else f"seeds {found[0]} to {found[-1]}"
        fold = self.cells[0].repeat.fold
        return f"{'; '.join(seeds)}, {words}{'' if fold is None else f', fold {fold}'}"

    def place(self, cell: Cell, grid: Grid, members: Sequence[dict[str, Any]] | None) -> int:
        """The place of a cell among the members of the run, as run.json lists them; 0 in a run of one."""
        if members is None:
            return 0
        values = _values(grid.recipes[cell.variant], (self.config.vary or {}).keys())
        return list(members).index({"seed": cell.seed, **values})


def make_jobs(grid: Grid, pending: Iterable[Cell], at_once: int, started: Callable[[str], bool]) -> list[Job]:
    """The jobs that train the pending cells: the first seeds of every variant first.

    So what is done of a sweep that is stopped compares all variants.

    Args:
      grid: the experiment.
      pending: cells of it.
      at_once: the most cells in a job.
      started: whether the job of a name has been started before; it is then taken up whole, though some of its cells
        have been kept already.
    """
    pending = set(pending)
    jobs = []
    for job in _cut(grid, grid.cells(), at_once):
        wanted = [cell for cell in job.cells if cell in pending]
        if len(wanted) == len(job.cells) or (wanted and started(job.name)):
            jobs.append(job)
        elif wanted:
            jobs += _cut(grid, wanted, at_once)
    return jobs


def alone(grid: Grid, cells: Iterable[Cell]) -> list[Job]:
    """A job for each cell."""
    return [_make_job(grid, [cell]) for cell in cells]


def _cut(grid: Grid, cells: Sequence[Cell], at_once: int) -> list[Job]:
    """Cuts cells into jobs; the order is that of each job's first seed, and then of the grid."""
    blocks: dict[tuple[str, tuple[Repeat, ...]], list[str]] = {}
    for name, recipe in grid.recipes.items():
        for fold in grid.folds:
            seeds = [cell.seed for cell in cells if cell.variant == name and cell.repeat.fold == fold]
            for chunk in _consecutive(seeds, at_once):
                repeats = tuple(Repeat(seed, fold) for seed in chunk)
                blocks.setdefault((_family(recipe), repeats), []).append(name)
    by_cell = {(cell.variant, cell.repeat): cell for cell in cells}
    jobs = []
    for (_, repeats), names in blocks.items():
        for together in _products([grid.recipes[name] for name in names], max(1, at_once // len(repeats))):
            jobs.append(_make_job(grid, [by_cell[one.variant.name, each] for one in together for each in repeats]))
    order = {cell: place for place, cell in enumerate(cells)}
    return sorted(jobs, key=lambda job: min((cell.seed, order[cell]) for cell in job.cells))


def _consecutive(seeds: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """Ascending seeds, cut into stretches without a gap of at most so many."""
    chunks: list[list[int]] = []
    for seed in seeds:
        if chunks and len(chunks[-1]) < most and chunks[-1][-1] + 1 == seed:
            chunks[-1].append(seed)
        else:
            chunks.append([seed])
    return [tuple(chunk) for chunk in chunks]


def _varying(recipe: Recipe) -> list[str]:
    return keys_that_vary(defaults(models.MODELS[recipe.config.model.name]))


def _family(recipe: Recipe) -> str:
    """What two recipes have in common that can be trained in one run."""
    vary = {*_varying(recipe), *OF_THE_SWEEP}
    return json.dumps({key: value for key, value in flatten(json.loads(recipe.config.to_json())) if key not in vary})


def _values(recipe: Recipe, keys: Iterable[str]) -> dict[str, float]:
    flat = dict(flatten(json.loads(recipe.config.to_json())))
    return {key: float(flat[key]) for key in sorted(keys)}


def _differing(recipes: Sequence[Recipe]) -> dict[str, list[float]]:
    """The values, ascending, of each key in which recipes of one family differ."""
    each = [_values(recipe, _varying(recipe)) for recipe in recipes]
    found = {key: sorted({values[key] for values in each}) for key in each[0]}
    return {key: values for key, values in found.items() if len(values) > 1}


def _products(recipes: Sequence[Recipe], most: int) -> list[list[Recipe]]:
    """Recipes of one family in lists of at most so many, each of which has every combination of its values."""

    def is_product(some: Sequence[Recipe]) -> bool:
        return math.prod(map(len, _differing(some).values())) == len(some)

    left, found = list(recipes), list[list[Recipe]]()
    while left:
        if len(left) <= most and is_product(left):
            return [*found, left]
        together = left[:1]
        for other in left[1:]:
            if len(together) < most and is_product([*together, other]):
                together.append(other)
        found.append(together)
        left = [recipe for recipe in left if recipe not in together]
    return found


def _make_job(grid: Grid, cells: Sequence[Cell]) -> Job:
    recipes = [grid.recipes[name] for name in dict.fromkeys(cell.variant for cell in cells)]
    seeds = sorted({cell.seed for cell in cells})
    own = {"seed": seeds[0], "num_seeds": len(seeds), "vary": _differing(recipes)}
    config = resolve({**on_fold(recipes[0].config, cells[0].repeat.fold), **own})
    # How often it saves may change while it is under way.
    stated = {key: value for key, value in json.loads(config.to_json()).items() if key != "checkpoint"}
    name = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]
    return Job(tuple(cells), config, name)
