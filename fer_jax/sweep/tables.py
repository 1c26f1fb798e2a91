"""The tables of an experiment: variants with their intervals, every cell, and every way of scoring."""

from collections.abc import Mapping

from fer_jax.score_table import NAMES
from fer_jax.sweep.grid import Grid
from fer_jax.sweep.numbers import (
    STATES,
    Number,
    Rows,
    interval,
    main_split,
    numbers,
    rows_of,
    scored,
    splits_of,
    states_of,
)
from fer_jax.sweep.results import SCORES, Kept, Row
from fer_jax.sweep.table import Percent, Table, Value

WITHIN_NOISE = "within noise"
_SPLITS = {"val": "validation", "test": "test"}


def make_tables(grid: Grid, kept: Kept) -> dict[str, Table]:
    """By their names: 'variants', 'seeds' and, where there are several ways of scoring, 'scores'."""
    rows = rows_of(kept)
    found = numbers(grid, rows)
    tables = [_variants(grid, rows, found), _seeds(grid, rows)]
    if any(scored(of_variant) for of_variant in rows.values()):
        tables.append(_scores(grid, rows, found))
    return {table.name: table for table in tables}


def _variants(grid: Grid, rows: Rows, found: Mapping[str, Number]) -> Table:
    """A row for each variant: accuracies, differences to the baseline, parameters, seconds."""
    splits, baseline, states = splits_of(rows), grid.experiment.baseline_name, states_of(rows)
    main = main_split(splits)
    columns: list[tuple[str, str]] = []
    for split in splits:
        before = "" if split == main else f"{split}_"
        columns += [(f"{before}{state}", f"{_SPLITS[split]}, {words}") for state, words in states.items()]
    of_baseline = states_of({baseline: rows[baseline]}) if baseline in rows else states
    differences = [(f"{state}_difference", f"Δ {_SPLITS[main]}, {words}") for state, words in of_baseline.items()]
    compared = any(name != baseline for name in rows)
    columns += differences if compared and splits else []
    stated = [state for state in STATES if any(state in one.variant.stated for one in grid.recipes.values())]
    table: list[list[Value]] = []
    for name, of_variant in rows.items():
        recipe, slug = grid.recipes[name], grid.recipes[name].variant.slug
        seconds = sum(row["seconds_training"] / row["members"] for row in of_variant.values()) / len(of_variant)
        epochs = sorted({row["epochs"] for row in of_variant.values()})
        row: list[Value] = [name, recipe.params["total"], ", ".join(map(str, epochs)), len(of_variant)]
        for what, _ in columns:
            number = found.get(f"{slug}/{what}")
            if number is None:
                row.append("baseline" if what.endswith("_difference") and name == baseline else None)
            elif what.endswith("_difference"):
                row.append(_difference(number, len(of_variant)))
            else:
                row.append(_percent(number))
        row += [
            Percent(recipe.variant.stated[state] / 100) if state in recipe.variant.stated else None for state in stated
        ]
        table.append([*row, f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"])
    titles = ["variant", "parameters", "epochs", "n", *(title for _, title in columns)]
    titles += [f"stated, {STATES[state]}" for state in stated] + [f"seconds a {grid.one_repeat}"]
    return Table("variants", titles, table, _notes(grid, rows, compared))


def _percent(number: Number) -> Percent:
    return Percent(number.mean, number.half_width)


def _difference(number: Number, n: int) -> Percent:
    """A difference in the row of a variant with n seeds: the baseline may have fewer of them."""
    seeds = len(number.values)
    notes = [*([WITHIN_NOISE] if number.within_noise else []), *([f"n = {seeds}"] if seeds != n else [])]
    return Percent(number.mean, number.half_width, ", ".join(notes), signed=True)


def _notes(grid: Grid, rows: Rows, compared: bool) -> list[str]:
    each = [row for of_variant in rows.values() for row in of_variant.values()]
    notes = [f"Accuracy in per cent; ±: {interval(grid)}."]
    if grid.experiment.folds > 1:
        notes.append("The folds' training images overlap, so the intervals are a little too narrow.")
    ways: dict[tuple[str, str], list[str]] = {}
    for name, of_variant in rows.items():
        for way in {_way(row) for row in of_variant.values()}:
            ways.setdefault(way, []).append(f"'{name}'")
    for (split, by), names in sorted(ways.items()):
        of = f" of {', '.join(names)}" if len(ways) > 1 else ""
        if not split:
            notes.append(
                f"No epoch{of} was selected, because these were trained on all training images."
                if of
                else "Trained on all training images; no epoch was selected."
            )
            continue
        measure = {"accuracy": "accuracy", "macro_f1": "macro-F1"}[by]
        flatters = "; that flatters its test accuracy, which estimates nothing" if split == "test" else ""
        notes.append(f"Epochs{of} are selected by {measure} on the {split} split{flatters}.")
    if each and all(row["test_reads"] == 0 for row in each):
        notes.append("The test split was never read.")
    if compared:
        notes.append(
            f"Δ: the mean paired difference to '{grid.experiment.baseline_name}' (same {grid.repeated}, same data "
            f"order) with its interval; '{WITHIN_NOISE}': the interval contains 0."
        )
    notes.append(f"Seconds of training a {grid.one_repeat}, where members of one run share its time.")
    missing = len(grid.cells()) - len(each)
    if missing:
        notes.append(f"{missing} of {len(grid.cells())} cells are missing.")
    machines = sorted({f"{row['machine']['devices']} x {row['machine']['processor']}" for row in each})
    if machines:
        notes.append(f"Trained on {'; '.join(machines)}.")
    return notes


def _way(row: Row) -> tuple[str, str]:
    """The split on which an epoch was selected, and by what; '' for both where none was."""
    return (row["selected_by"], row.get("select_by", "accuracy")) if row["selected_by"] else ("", "")


def _seeds(grid: Grid, rows: Rows) -> Table:
    """A row for each cell."""
    splits, states = splits_of(rows), states_of(rows)
    selected = ["epoch selected"] if "best" in states else []
    folds = ["fold"] if grid.experiment.folds else []
    scored_on = [f"{_SPLITS[split]}, {words}" for split in splits for words in states.values()]
    table: list[list[Value]] = []
    for name, of_variant in rows.items():
        own = states_of({name: of_variant})
        for repeat, row in of_variant.items():
            scores = [
                Percent(row[state][f"{split}_accuracy"]) if state in own else None
                for split in splits
                for state in states
            ]
            epoch = row["best"]["epoch"] if "best" in own else None
            which = [str(part) for part in repeat if part is not None]
            table.append([name, *which, *scores, *(epoch for _ in selected)])
    return Table(
        "seeds",
        ["variant", "seed", *folds, *scored_on, *selected],
        table,
        [f"Accuracy in per cent, each {grid.one_repeat}."],
    )


def _scores(grid: Grid, rows: Rows, found: Mapping[str, Number]) -> Table:
    """A row for each variant, state, view and subset that all of its repeats have."""
    table: list[list[Value]] = []
    for name, of_variant in rows.items():
        for state, view, subset in scored(of_variant):
            sizes = sorted({row["scores"][state][view][subset]["examples"] for row in of_variant.values()})
            images: Value = sizes[0] if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
            before = f"{grid.recipes[name].variant.slug}/{state}/{view}/{subset}"
            values = [_percent(found[f"{before}/{score}"]) for score in SCORES]
            table.append([name, STATES[state], view, NAMES[subset], images, *values])
    titles = ["variant", "state", "view", "images", "images, n", *SCORES.values()]
    return Table("scores", titles, table, [f"In per cent; ±: {interval(grid)}."])
