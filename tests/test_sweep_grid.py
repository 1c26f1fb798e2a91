"""`fer_jax.sweep`: which cells an experiment has, what their digests tell, and which are trained together."""

from pathlib import Path

import pytest

from fer_jax.build import default_config
from fer_jax.errors import ConfigError
from fer_jax.sweep import Experiment, Variant
from fer_jax.sweep.grid import digest, load_grid, make_grid
from fer_jax.sweep.jobs import make_jobs
from fer_jax.sweep.results import read_results

ROOT = Path(__file__).parents[1]


def make(variants, seeds=1, **changes):
    """A grid of variants of a small config."""
    base = default_config(model="mnist_10k", data_name="digits")
    base.update_from_flattened_dict(changes)
    return make_grid(Path("x/experiment.py"), b"", "", Experiment(base=base, variants=variants, seeds=seeds))


def cut(grid, at_once, pending=None, started=lambda name: False):
    """The jobs, each as its cells: ('a0', 'a1')."""
    jobs = make_jobs(grid, grid.cells() if pending is None else pending, at_once, started)
    return [tuple(f"{cell.variant}{cell.seed}" for cell in job.cells) for job in jobs]


def rates(*values):
    return [Variant(name, {"optim.learning_rate": value}) for name, value in zip("abcd", values, strict=False)]


@pytest.mark.parametrize(
    ("at_once", "jobs"),
    [
        (1, [("a0",), ("b0",), ("a1",), ("b1",), ("a2",), ("b2",)]),
        (2, [("a0", "a1"), ("b0", "b1"), ("a2", "b2")]),
        (3, [("a0", "a1", "a2"), ("b0", "b1", "b2")]),
        (6, [("a0", "a1", "a2", "b0", "b1", "b2")]),
        (99, [("a0", "a1", "a2", "b0", "b1", "b2")]),
    ],
)
def test_seeds_and_variants_are_trained_together(at_once, jobs):
    assert cut(make(rates(0.1, 0.2), seeds=3), at_once) == jobs


def test_only_what_can_vary_is_trained_together():
    variants = [*rates(0.1, 0.2), Variant("e", {"epochs": 3}), Variant("f", {"optim.learning_rate": 0.3, "epochs": 3})]
    assert cut(make(variants), 16) == [("a0", "b0"), ("e0", "f0")]


def test_a_run_is_a_full_product_of_what_varies():
    def both(name, rate, smoothing):
        return Variant(name, {"optim.learning_rate": rate, "loss.label_smoothing": smoothing})

    square = [both("a", 0.1, 0.0), both("b", 0.1, 0.1), both("c", 0.2, 0.0), both("d", 0.2, 0.1)]
    assert cut(make(square), 4) == [("a0", "b0", "c0", "d0")]
    assert cut(make(square[:3]), 4) == [("a0", "b0"), ("c0",)]
    grid = make(square)
    (job,) = make_jobs(grid, grid.cells(), 4, lambda name: False)
    members = [
        {"seed": 0, "loss.label_smoothing": smoothing, "optim.learning_rate": rate}
        for smoothing in (0.0, 0.1)
        for rate in (0.1, 0.2)
    ]
    assert job.config.vary == {"loss.label_smoothing": (0.0, 0.1), "optim.learning_rate": (0.1, 0.2)}
    assert [job.place(cell, grid, members) for cell in job.cells] == [0, 2, 1, 3]


def test_who_is_trained_with_whom_does_not_depend_on_a_kill():
    grid = make(rates(0.1, 0.2, 0.3), seeds=3)
    whole = make_jobs(grid, grid.cells(), 2, lambda name: False)
    for done in range(len(whole)):
        left = [cell for job in whole[done:] for cell in job.cells]
        assert make_jobs(grid, left, 2, lambda name: False) == whole[done:]
    # A job that was begun is taken up whole, though one of its rows was kept and the others were torn.
    half = [cell for cell in grid.cells() if cell != whole[0].cells[0]]
    assert make_jobs(grid, half, 2, lambda name: name == whole[0].name)[0] == whole[0]
    assert make_jobs(grid, half, 2, lambda name: False)[0].cells == whole[0].cells[1:]


def test_a_digest_tells_what_changes_a_number_and_nothing_else():
    def of(**changes):
        return make([Variant("a")], **changes).cells()[0].digest

    plain = of()
    same = {"seed": 5, "num_seeds": 3, "checkpoint.keep": 5, "steps_per_call": 7, "data.fallback": "digits"}
    for key, value in same.items():
        assert of(**{key: value}) == plain, key
    others = {"epochs": 3, "data.limit": 10, "optim.learning_rate": 0.5, "data.name": "mnist", "protocol": "clean"}
    assert len({plain, *(of(**{key: value}) for key, value in others.items())}) == 1 + len(others)
    assert of(**{"optim.decay_rate": 1.0}) == digest(
        {**default_config("mnist_10k", "digits").to_dict(), "optim": {"decay_rate": 1}}
    )


def test_a_variant_may_have_a_config_of_its_own():
    own = default_config(model="mnist_11k", data_name="digits")
    own.seed = 9
    grid = make([Variant("a"), Variant("b", {"epochs": 3}, config=own)], seeds=2, seed=4)
    assert grid.seeds == [4, 5]
    assert grid.recipes["b"].config.seed == 4 and grid.recipes["b"].config.epochs == 3
    assert {"epochs", "model.name"} <= grid.recipes["b"].changes.keys() and not grid.recipes["a"].changes


def test_a_base_that_varies_is_refused():
    base = default_config(model="mnist_10k", data_name="digits")
    base.vary = {"optim.learning_rate": (0.1, 0.2)}
    with pytest.raises(
        ConfigError, match="'a': config.vary is the sweep's own: make each of its combinations a variant"
    ):
        make_grid(Path("x"), b"", "", Experiment(base=base, variants=[Variant("a")], seeds=1))


@pytest.mark.parametrize(
    ("protocols", "shared"),
    [(("clean", "tune"), True), (("clean", "full", "seed"), True), (("tune", "seed"), False)],
)
def test_variants_have_scores_on_a_split_in_common(protocols, shared):
    variants = [Variant(name, {"protocol": name}) for name in protocols]
    if shared:
        make(variants)
    else:
        with pytest.raises(ConfigError, match="'tune' .* and 'seed' .* have scores on no split in common"):
            make(variants)


@pytest.mark.parametrize("file", sorted(ROOT.glob("experiments/*/experiment.py")), ids=lambda path: path.parent.name)
def test_an_experiment_of_the_repository_loads_and_each_row_is_of_one_of_its_cells(file, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    grid = load_grid(str(file))
    cells = {(cell.digest, cell.seed) for cell in grid.cells()}
    results = read_results(file.parent / "results.jsonl")
    assert not results.torn
    for row in results.rows:
        assert (row["digest"], row["seed"]) in cells, f"{row['variant']}, seed {row['seed']}"
