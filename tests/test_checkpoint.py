"""Which checkpoints are kept, and that a damaged one is never loaded."""

import contextlib
import gc
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import checkpoint
from fer_jax.checkpoint import Checkpoints, digest
from fer_jax.errors import CheckpointError, ConfigError
from fer_jax.sharding import make_mesh, replicated

# Orbax leaves coroutines behind when a read fails.
pytestmark = [
    pytest.mark.usefixtures("orbax_leftovers"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine:RuntimeWarning"),
]


def arrays(value=0.0):
    return {"weights": jnp.arange(1000.0) + value, "step": jnp.int32(3), "rng": jax.random.key(7)}


@pytest.fixture
def opened(tmp_path):
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        yield checkpoints


def save(checkpoints, ranks):
    for step, rank in enumerate(ranks):
        checkpoints.save(step, arrays(step), {"note": step}, rank)


@pytest.mark.parametrize(
    ("ranks", "kept"),
    [
        ([0.1, 0.9, 0.2, 0.3, 0.4], [1, 3, 4]),
        ([0.1, 0.2, 0.3, 0.4], [2, 3]),
        ([0.9, 0.1, None, None, None], [0, 3, 4]),
        ([None, None, None], [1, 2]),
        ([0.5], [0]),
    ],
)
def test_the_two_newest_and_the_best_are_kept(opened, ranks, kept):
    save(opened, ranks)
    assert opened.steps() == kept


def test_what_is_restored_is_what_was_saved(opened):
    save(opened, [0.1, 0.2])
    restored = opened.restore(1, arrays())
    assert restored.step == 1 and restored.record["note"] == 1
    assert digest(restored.arrays) == digest(arrays(1))
    np.testing.assert_array_equal(restored.arrays["weights"], arrays(1)["weights"])
    assert restored.arrays["rng"] == jax.random.key(7)


def test_what_every_device_holds_is_saved_once_and_nothing_compiled_for_it(opened, caplog):
    weights = np.arange(1236.0, dtype=np.float32)
    several = {"weights": jax.device_put(weights, replicated(make_mesh(4))), "rng": jax.random.key(7)}
    digest(several)
    with jax.log_compiles():
        opened.save(0, several, {}, None)
    assert not [line for line in caplog.messages if "ompil" in line]
    restored = opened.restore(0, several).arrays
    np.testing.assert_array_equal(restored["weights"], weights)
    assert restored["weights"].sharding == several["weights"].sharding and restored["rng"] == several["rng"]


def test_a_missing_step_is_told_with_those_that_are_there(opened):
    save(opened, [0.1, 0.2])
    with pytest.raises(CheckpointError, match="no checkpoint of step 9; it has: 0, 1"):
        opened.restore(9, arrays())


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


def test_every_kind_of_damage_to_any_file_is_found_or_harmless(opened, tmp_path):
    """A flipped byte, half a file, an empty file, no file: never other arrays than were saved, without a word."""
    save(opened, [0.1, 0.2])
    folder = tmp_path / "checkpoints" / "1"
    found = 0
    for path in files(folder):
        whole = path.read_bytes()
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 0x10]) + whole[middle + 1 :]
        for damaged in (flipped, whole[:middle], b""):
            path.write_bytes(damaged)
            try:
                restored = opened.restore(1, arrays())
            except CheckpointError as error:
                assert str(folder) in str(error)
                found += 1
            else:
                assert digest(restored.arrays) == digest(arrays(1))
        path.write_bytes(whole)
    assert found > 3
    assert opened.restore(1, arrays()).step == 1


def test_other_arrays_than_those_recorded_are_damage(opened, tmp_path):
    save(opened, [0.1, 0.2])
    record = next(path for path in files(tmp_path / "checkpoints" / "1") if b"sha256" in path.read_bytes())
    content = json.loads(record.read_text())
    content["sha256"] = digest(arrays(5))
    record.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="damaged"):
        opened.restore(1, arrays())


@pytest.mark.parametrize("content", ["", "no JSON"])
def test_a_checkpoint_whose_metrics_are_damaged_is_told(opened, tmp_path, content):
    save(opened, [0.1, 0.2])
    (path,) = (tmp_path / "checkpoints" / "1" / "metrics").glob("metrics")
    path.write_text(content)
    with pytest.raises(CheckpointError, match="checkpoints/1 is damaged; move it away"):
        Checkpoints(tmp_path)


def test_a_record_that_is_no_record_is_damage(opened, tmp_path):
    save(opened, [0.1])
    record = next(path for path in files(tmp_path / "checkpoints" / "0") if b"sha256" in path.read_bytes())
    for content in ("[]", "{}", '{"sha256": 3}'):
        record.write_text(content)
        with pytest.raises(CheckpointError, match="is damaged"):
            opened.restore(0, arrays())


def test_the_newest_whole_checkpoint_is_found_and_newer_ones_set_aside(opened, tmp_path):
    save(opened, [0.1, 0.9, 0.2, 0.3])
    for step in (2, 3):
        for path in files(tmp_path / "checkpoints" / str(step) / "arrays"):
            path.write_bytes(path.read_bytes()[:10])
    restored, notes = opened.restore_newest(arrays())
    assert restored is not None and restored.step == 1
    assert [f"checkpoints/{step}" in note for step, note in zip((3, 2), notes, strict=True)] == [True, True]
    opened.set_aside([2, 3])
    assert opened.steps() == [1]
    assert sorted(path.name for path in (tmp_path / "checkpoints-damaged").iterdir()) == ["2", "3"]
    opened.save(2, arrays(2), {}, 0.2)
    assert opened.restore(2, arrays()).step == 2


def test_what_a_killed_save_left_is_removed_and_its_step_saved_again(opened, tmp_path):
    save(opened, [0.1])
    for name in ("1.orbax-checkpoint-tmp", "2.orbax-checkpoint-tmp-1795"):
        (tmp_path / "checkpoints" / name / "arrays").mkdir(parents=True)
    restored, notes = opened.restore_newest(arrays())
    assert restored is not None and restored.step == 0 and notes == []
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["0"]
    opened.save(1, arrays(1), {}, 0.2)
    assert opened.steps() == [0, 1]


def test_no_whole_checkpoint_at_all_is_an_error(opened, tmp_path):
    save(opened, [0.1, 0.2])
    for path in files(tmp_path / "checkpoints"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no older checkpoint is whole"):
        opened.restore_newest(arrays())


def test_no_checkpoint_is_no_error(opened):
    assert opened.restore_newest(arrays()) == (None, [])


def test_arrays_of_another_network_are_refused(opened):
    save(opened, [0.1])
    with pytest.raises(CheckpointError):
        opened.restore(0, {**arrays(), "weights": jnp.zeros(10)})


def test_the_digest_sees_values_names_shapes_and_types():
    base = {"a": jnp.zeros(4), "b": jnp.zeros(2)}
    others = [
        {"a": jnp.zeros(4).at[3].set(1e-30), "b": jnp.zeros(2)},
        {"a": jnp.zeros(2), "b": jnp.zeros(4)},
        {"c": jnp.zeros(4), "b": jnp.zeros(2)},
        {"a": jnp.zeros((2, 2)), "b": jnp.zeros(2)},
        {"a": jnp.zeros(4, jnp.int32), "b": jnp.zeros(2)},
    ]
    assert digest(base) == digest({"b": jnp.zeros(2), "a": jnp.zeros(4)})
    assert len({digest(other) for other in [base, *others]}) == 6


@pytest.mark.parametrize("keyword", ["every_epochs", "keep"])
def test_numbers_out_of_range_are_refused(tmp_path, keyword):
    with pytest.raises(ConfigError, match=f"config.checkpoint.{keyword} must be at least 1"):
        Checkpoints(tmp_path, **{keyword: 0})


def test_writes_that_never_began_when_a_save_failed_leave_no_warning(recwarn):
    async def write():
        pass

    with pytest.raises(OSError, match="full"), checkpoint._quiet_closed_loops():
        write()
        raise OSError("full")
    write()
    gc.collect()
    assert not recwarn.list
