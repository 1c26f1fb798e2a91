"""`experiments/speed`: ratios, targets and tables of given numbers; what is refused; two programs compute the same."""

import importlib
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from fer_jax import build, data, summary

SPEED = Path(__file__).parents[1] / "experiments" / "speed"
NAMES = (
    "agreement",
    "breakdown",
    "compare",
    "growth",
    "job",
    "networks",
    "options",
    "programs",
    "profiles",
    "progress",
    "reference",
)
FILES = (*NAMES, "roofline", "tables", "programs.fer_jax_program", "programs.flax_program", "whole_commands", "workers")


@pytest.fixture(scope="module")
def speed():
    """The files of the benchmark, which import each other by name, under those names."""
    sys.path.insert(0, str(SPEED))
    try:
        yield SimpleNamespace(**{name.rpartition(".")[2]: importlib.import_module(name) for name in FILES})
    finally:
        sys.path.remove(str(SPEED))
        for name in FILES:
            sys.modules.pop(name, None)


def rates(*train):
    return {"train": list(train), "evaluate": [2 * rate for rate in train], "latency": [1.0], "peak_mib": 100.0}


@pytest.fixture
def results():
    """Of one network on one core: fer_jax is twice as fast as the better PyTorch in two of three rounds."""
    start = {"build": 1.0, "first_step": 3.0, "second_step": 0.5, "compile": 2.5, "to_first_step": 6.0}
    losses = {"training": 2.0, "evaluation": 2.5, "second_step": 1.9}
    programs = {"fer_jax": rates(200, 200, 150), "torch": rates(90, 90, 90), "torch_compile": rates(100, 100, 100)}
    return {
        "date": "2026-01-01T00:00:00+00:00",
        "command": "python experiments/speed/compare.py",
        "settings": {"rounds": 3, "seconds": 1.0, "cores": [1], "quick": False},
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "versions": {"python": "3", "jax": "1"},
        "machine": {"processor": "a processor", "cores": 1},
        "jobs": {"mnist_15k": {"batch": 128, "evaluation_batch": 256, "images": 1024}},
        "checks": {"mnist_15k": {name: losses for name in programs}},
        "starts": {"mnist_15k": {name: {"cold": start, "warm": start} for name in programs}},
        "rates": {"mnist_15k": {"1": programs}},
        "gain": {"mnist_15k": {"cores": 2, "one": [100, 100], "all": [110, 120], "each": [190, 200]}},
        "process": {
            "limit": 0,
            "first_step": {"fer_jax": [5.0, 7.0, 4.0], "torch": [3.0]},
            "whole": {
                "fer_jax": [{"seconds": 60.0, "peak_mib": 600.0}],
                "fer_jax_cold": [{"seconds": 80.0, "peak_mib": 1000.0}],
                "torch": [{"seconds": 50.0, "peak_mib": 500.0}],
            },
        },
    }


def test_a_ratio_is_taken_round_by_round(speed):
    found = speed.tables.ratio([10, 20, 30], [10, 10, 10])
    assert (found.middle, found.least, found.most) == (2, 1, 3)
    # Twice as slow a machine in one round changes nothing.
    assert speed.tables.ratio([10, 5, 10], [4, 2, 4]) == speed.tables.ratio([10, 10, 10], [4, 4, 4])


def test_the_best_mode_is_that_with_the_highest_median(speed, results):
    found = results["rates"]["mnist_15k"]["1"]
    found["torch"]["train"] = [99, 99, 10_000]
    assert speed.tables.best(found, "torch", "train") == "torch_compile"
    assert speed.tables.best(found, "keras_jax", "train") is None


def test_targets_are_judged(speed, results):
    rows = {row.words: row for row in speed.tables.targets(results)}
    verdicts = {words: row.verdict() for words, row in rows.items() if row.found is not None}
    assert verdicts == {
        "`mnist_15k` training, against the best PyTorch, 1 core": "aim met",
        "`mnist_15k` evaluation, against the best PyTorch, 1 core": "aim met",
        "`mnist_15k`, all cores against one: one run": "**not met**",
        "`mnist_15k`, all cores against one: a separate process on each core (not yet seeds in one command)": "aim met",
        "peak memory of training `mnist_15k`, whole process, compile cache warm": "met",
        "command to first trained step of `mnist_15k`, compile cache warm, seconds": "met",
    }
    assert rows["`fer2013_vgg` training, against the best PyTorch, 1 core"].verdict() == "not measured"
    memory = rows["peak memory of training `mnist_15k`, whole process, compile cache warm"]
    assert memory.text == "1.20 (600 MiB; PyTorch, eager, NCHW 500 MiB); cold 2.00"


def test_seeds_in_one_command_take_the_place_of_processes(speed, results):
    results["seeds"] = {"count": 4, "one": 100.0, "together": 180.0}
    rows = {row.words: row for row in speed.tables.targets(results)}
    found = rows["`mnist_15k`, all cores against one: 4 seeds in one command"]
    assert found.found == pytest.approx(1.8)
    assert "4 seeds in one command on all cores 180." in speed.tables.comparison(results)


def test_tables_say_what_was_found(speed, results):
    text = speed.tables.comparison(results)
    line = "| `mnist_15k` training, against the best PyTorch, 1 core | >= 1.3 | 2 | 2.00 (1.50 to 2.00), PyTorch, "
    assert line + "torch.compile, NCHW | aim met |" in text
    assert "| fer_jax | 200 (150 to 200) |  | 400 (300 to 400) |  | 1.00 | 100 |" in text
    assert "a processor" in text
    assert "0123456789ab" in text
    results["settings"]["quick"] = True
    assert speed.tables.comparison(results).startswith("**A miniature")


def test_growth_is_the_cost_of_a_unit_more(speed, results):
    runs = {str(size): [{"training": 3.0 + 10 * size, "seconds": 20.0, "peak_mib": 500.0}] for size in (1, 2, 4)}
    base = {"epochs": 1, "images": 100, "seeds": 1}
    results["settings"] = {"rounds": 1, "quick": False, "base": base}
    text = speed.tables.growth({**results, "growth": {"epochs": runs}})
    assert "| 4 epochs | 43.0 | 1e+04 | 1.00 | 20.0 | 500 | 1.00 |" in text
    assert speed.growth.options("epochs", 4, False) == {"epochs": 4, "data__limit": 15_000, "num_seeds": 1}
    assert speed.growth.options("seeds", 2, True) == {"epochs": 1, "data__limit": 512, "num_seeds": 2}


def test_only_the_text_between_the_markers_changes(speed, tmp_path):
    path = tmp_path / "README.md"
    begin, end = ("<!-- a: begin, written by the script -->", "<!-- a: end, written by the script -->")
    path.write_text(f"# Before\n\n{begin}\nold\n{end}\n\nAfter\n")
    speed.tables.write(path, "a", "new")
    speed.tables.write(path, "b", "other")
    speed.tables.write(path, "b", "another")
    text = path.read_text()
    assert text.startswith(f"# Before\n\n{begin}\n\nnew\n\n{end}\n\nAfter\n")
    assert "\nanother\n" in text
    assert "\nother\n" not in text
    assert text.count("b: begin") == 1


@pytest.mark.parametrize("name", ["training", "evaluation", "second_step"])
@pytest.mark.parametrize("factor", [1.01, math.nan])
def test_another_loss_is_refused(speed, results, name, factor):
    checks = results["checks"]["mnist_15k"]
    assert not speed.agreement.disagreements("mnist_15k", checks)
    checks["torch"] = {**checks["torch"], name: checks["torch"][name] * factor}
    sentences = speed.agreement.disagreements("mnist_15k", checks)
    assert sentences
    assert all(sentence.startswith("mnist_15k: the ") and " in torch and " in sentence for sentence in sentences)


def test_losses_that_differ_by_rounding_agree(speed, results):
    checks = results["checks"]["mnist_15k"]
    checks["torch"] = {name: loss * (1 + 5e-5) for name, loss in checks["torch"].items()}
    checks["torch"]["second_step"] += 1e-3
    assert not speed.agreement.disagreements("mnist_15k", checks)
    assert speed.agreement.largest(checks, "training") == pytest.approx(5e-5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--programs=torhc"], "'torhc' is not known; did you mean 'torch'?"),
        (["--networks=resnet"], "'resnet' is not known; known: mnist_15k, "),
        (["--cores=1000"], "this process may use "),
        (["--rounds=0"], "must be a number above 0, not 0"),
        (["--seeds=1"], "--seeds must be 2 or more, not 1"),
        (["--wrong"], "unrecognized arguments: --wrong"),
    ],
)
def test_a_bad_flag_is_one_sentence(speed, capsys, words, sentence):
    with pytest.raises(SystemExit, match="2"):
        speed.options.parse(words)
    error = capsys.readouterr().err
    assert error.startswith("compare: ")
    assert sentence in error
    assert error.count("\n") == 1


def test_a_missing_framework_is_one_sentence(speed, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else "here")
    monkeypatch.setattr(sys, "argv", ["compare.py", "--programs=flax,torch_compile"])
    assert speed.compare.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("compare: torch_compile needs torch, which is not installed: pip install -e '.[bench]'")
    assert error.count("\n") == 1


def test_quick_runs_leave_the_published_results_alone(speed):
    flags = speed.options.parse(["--quick"])
    assert flags.out.parent != SPEED
    assert speed.options.parse([]).out == SPEED / "results.json"
    assert speed.options.parse(["--programs=flax"]).programs == ["fer_jax", "flax"]


def test_results_are_added_to_those_of_other_networks(speed, results, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    words = ["--networks=fer2013_cnn", "--programs=torch", "--parts=rates", "--cores=1", f"--out={file}"]
    alone, flags = speed.options.parse(words), speed.options.parse([*words, "--add"])
    assert speed.compare.earlier_results(alone) == {}
    comparison = speed.compare.Comparison(flags, tmp_path, speed.compare.earlier_results(flags))
    found = {**comparison.results, **{key: results[key] for key in ("git", "machine", "versions")}}
    for part in ("jobs", "checks", "starts", "rates", "gain", "process"):
        assert found[part] == results[part]
    text = speed.tables.comparison(found)
    assert "`python experiments/speed/compare.py`, 2026-01-01T00:00:00+00:00, commit 0123456789ab; 3 rounds" in text
    assert "; 5 rounds of about 4 s." in text
    assert [target.found for target in speed.tables.targets(found)] == [
        target.found for target in speed.tables.targets(results)
    ]


@pytest.mark.parametrize(("part", "kept"), [("process", True), ("rates", False)])
def test_the_two_starts_of_a_program_stay_of_one_measurement(speed, results, tmp_path, monkeypatch, part, kept):
    class Started:
        def __init__(self, *arguments):
            pass

        def start(self):
            return {"first_step": 9.0}

        def ask(self, command):
            return {}

        def stop(self):
            pass

    monkeypatch.setattr(speed.compare, "Worker", Started)
    monkeypatch.setattr(speed.compare, "make_job", lambda *_: {key: results[key] for key in ("machine", "versions")})
    flags = speed.options.parse(["--networks=mnist_15k", "--programs=torch", f"--parts={part}", "--cores=1", "--add"])
    comparison = speed.compare.Comparison(flags, tmp_path, results)
    job = tmp_path / "mnist_15k" / "train" / "job.json"
    job.parent.mkdir(parents=True)
    job.write_text(json.dumps(results["jobs"]["mnist_15k"]))
    before = results["starts"]["mnist_15k"]
    comparison._begin("mnist_15k")
    after = comparison.results["starts"]["mnist_15k"]
    if kept:
        assert after == before and all("warm" in start for start in after.values())
    else:
        assert after == {"fer_jax": {"cold": {"first_step": 9.0}}, "torch": {"cold": {"first_step": 9.0}}}


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"settings": {"quick": false, "cores": [1, 2]}}'])
def test_nothing_can_be_added_to_other_results(speed, tmp_path, content):
    file = tmp_path / "results.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(speed.compare.Refused, match=f"--add: {file} "):
        speed.compare.earlier_results(speed.options.parse(["--add", "--cores=1", f"--out={file}"]))


def test_the_progress_bar_shows_the_first_step(speed):
    def bar(images):
        return f"\rEpoch 1/1:   0%|          | {images}/60.0k [00:00<?, ? images/s]".encode()

    first = speed.whole_commands.FIRST_STEPS
    assert not first.search(bar("0.00"))
    assert first.search(bar("0.00") + bar("128"))
    assert first.search(bar("1.02k"))


def test_time_left_is_that_of_equal_tasks(speed, capsys):
    progress = speed.progress.Progress([("train", "a")] * 3 + [("start", "a")])
    for _ in range(2):
        with progress.task(("train", "a"), "words"):
            pass
    assert progress.seconds_left() == pytest.approx(speed.progress.FIRST_GUESS, abs=1)
    assert "[2/4] words - about" in capsys.readouterr().err


@pytest.fixture
def tiny_job(speed, tiny, tmp_path, monkeypatch):
    """The jobs of a tiny network, in a folder."""
    parts = speed.networks
    layers = [parts.SCALE, parts.conv(4, kernel=5), parts.RELU, parts.NORM, parts.dropout(), parts.POOL]
    monkeypatch.setitem(parts.NETWORKS, tiny, [*layers, parts.conv(10, kernel=12), parts.FLATTEN])
    stated = {"batch_size": 16, "model": {"name": tiny}, "data": {"name": "digits"}}
    stated["optim"] = {"learning_rate": speed.job.LEARNING_RATE}
    for module in (speed.reference, speed.fer_jax_program):
        monkeypatch.setattr(module, "config_of", lambda name: build.resolve(stated))
    monkeypatch.setattr(speed.fer_jax_program.command, "prepare_jax", lambda: None)
    monkeypatch.setitem(data.LOADERS, "speed_noise", None)
    speed.reference.write_reference(tiny, tmp_path, images=70)
    return tmp_path


def test_a_job_holds_whole_batches_and_the_rates_of_dropout(speed, tiny_job):
    job, check = (speed.job.Job.read(tiny_job / name) for name in ("train", "check"))
    assert (job.images, job.batch) == (64, 16)
    assert {"kind": "dropout", "rate": 0.1} in job.layers
    assert not any(layer["kind"] == "dropout" for layer in check.layers)


def test_fer_jax_and_plain_flax_compute_the_same(speed, tiny_job):
    job = speed.job.Job.read(tiny_job / "check")
    program = speed.fer_jax_program.FerJax(job, cores=1)
    with jax.numpy_rank_promotion("allow"):  # Optax and Flax add vectors to matrices.
        flax = speed.flax_program.Flax(job, cores=1)
        losses = {"fer_jax": program.losses()._asdict(), "flax": flax.losses()._asdict()}
    assert not speed.agreement.disagreements("tiny", losses), json.dumps(losses)
    # Each of the three says something of its own.
    assert len({round(loss, 3) for loss in losses["flax"].values()}) == 3

    image = job.data[0][0]
    before = program.predict(image)
    program.train(3)  # An epoch has two steps.
    program.evaluate(2)
    assert before.shape == (10,)
    assert np.abs(program.predict(image) - before).max() > 0


def test_the_limits_count_what_a_step_needs(speed, results):
    """A convolution of 2 x 3 x 3 x 4 values from 9 x 2 each, with BatchNorm, and a dense layer of 5 from 36."""
    row = summary.Row
    rows = [
        row("Conv_0", "Conv", (None, 3, 3, 4), 76, 3 * 3 * 4 * 18, 3),
        row("BatchNorm_0", "BatchNorm", (None, 3, 3, 4), 16, 36, 3),
        row("Flatten_0", "Flatten", (None, 36), 0, 0, 3),
        row("Dense_0", "Dense", (None, 5), 185, 180, 3),
    ]
    needed = speed.roofline.work(rows, 269, batch=2)
    assert needed.operations == 2 * 2 * (3 * (648 + 180) - 648)
    assert needed.bytes == 4 * (2 * (5 * (36 + 5) + 2 * 36) + 10 * 269)
    assert speed.roofline.floors(needed, needed.operations / 2, needed.bytes / 3) == (2, 3)
    results["jobs"]["mnist_15k"]["batch"] = 128
    text = speed.roofline.table(results, {"1": {"operations": 1e11, "bytes": 1e10}})
    # 1,846,192 multiply-adds, of which 73,008 in the first layer; a step of the median rate of 200 takes 640 ms.
    operations = 2 * 128 * (3 * 1_846_192 - 73_008)
    assert f"| `mnist_15k` | 1 | {operations / 1e9:.2f} |" in text
    assert "| 640.0 ms |" in text


COMPILED = """HloModule jit_train_loop

%rows (p: (f32[])) -> (f32[]) {
  %dot.1 = f32[2]{0} dot(%a, %b), metadata={op_name="jit(loop)/while/body/jvp(Net)/Conv_0/while/body/dot_general"}
}

%batch (p: (f32[])) -> (f32[]) {
  %while.1 = (s32[], f32[2]{0}) while(%t), body=%rows, metadata={op_name="jit(loop)/while/body/jvp(Net)/Conv_0/while"}
  %sub.1 = f32[2]{0} fusion(%a), kind=kLoop, metadata={op_name="jit(loop)/while/body/jvp(Net)/Conv_0/sub"}
  %while.2 = f32[2]{0} while(%t), metadata={op_name="jit(loop)/while/body/transpose(jvp(Net))/Conv_0/while"}
  %dot.2 = f32[2]{0} dot(%a), metadata={op_name="jit(loop)/while/body/transpose(jvp(Net))/Dense_0/dot_general"}
  %norm = f32[2]{0} fusion(%a), kind=kLoop, metadata={op_name="jit(loop)/while/body/jvp(Net)/BatchNorm_0/mul"}
  ROOT %adam.1 = f32[2]{0} add(%a, %b)
}

ENTRY %main (p: f32[]) -> f32[] {
  %while.3 = f32[2]{0} while(%t), body=%batch, metadata={op_name="jit(loop)/while"}
}
"""


def test_a_profile_counts_each_part_of_a_batch_once(speed):
    names = ("dot.1", "while.1", "sub.1", "while.2", "dot.2", "norm", "adam.1", "while.3", "python")
    nanoseconds = {name: 2.0**place * 1e9 for place, name in enumerate(names)}
    found = speed.profiles.parts_of_xla(nanoseconds, COMPILED)
    assert found == {"forward": 2, "made": 4, "gradients": 8 + 16, "rest": 32 + 64}


def test_a_loop_whose_end_a_profile_did_not_note_takes_what_is_in_it(speed):
    nanoseconds = {"dot.1": 3e9, "while.1": 1e9, "adam.1": 0.5e9, "while.3": 4e9}
    found = speed.profiles.parts_of_xla(nanoseconds, COMPILED)
    assert found == {"forward": 3, "made": 0, "gradients": 0, "rest": 0.5}


def test_operations_of_pytorch_are_told_apart(speed):
    parts = {
        "forward": ("aten::mkldnn_convolution", "aten::addmm", "aten::conv2d"),
        "gradients": ("aten::convolution_backward", "aten::mm"),
        "rest": ("aten::native_batch_norm_backward", "aten::threshold_backward", "Optimizer.step#Adam.step"),
    }
    for part, names in parts.items():
        assert [speed.profiles.part_of_torch(name) for name in names] == [part] * len(names)


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_the_parts_of_a_profile_are_those_that_the_program_has(speed, tiny_job, kind):
    program = speed.fer_jax_program.FerJax(speed.job.Job.read(tiny_job / "train"), cores=1)
    found = program.profile(kind, 2)
    assert set(found) == set(speed.profiles.PARTS) and min(found.values()) >= 0
    assert found["forward"] > 0 and found["rest"] > 0
    assert (found["gradients"] > 0) == (kind == "train")


def test_the_breakdown_gives_shares_and_rates(speed, results):
    seconds = {"forward": 0.1, "gradients": 0.2, "made": 0.0, "rest": 0.1}
    nothing = dict.fromkeys(speed.profiles.PARTS, 0.0)
    results["breakdown"] = {"mnist_15k": {"fer_jax": {"train": seconds, "evaluate": nothing}}}
    rows = [line for line in speed.breakdown.table(results).splitlines() if line.startswith("| `mnist_15k`")]
    # 1,846,192 multiply-adds, of which 73,008 in the first layer, which needs no gradient by its input.
    forward, gradients = (2 * 128 * count / 1e9 for count in (1_846_192, 2 * 1_846_192 - 73_008))
    assert rows == [
        f"| `mnist_15k` | training | fer_jax | 400.0 | 100.0 (25 %), {forward / 0.1:.0f} GFLOP/s "
        f"| 200.0 (50 %), {gradients / 0.2:.0f} GFLOP/s |  | 100.0 (25 %) |"
    ]
