"""The house rules, read from the source: imports run one way, and each library is kept in its room.

A new module is added to `FLOORS`, on the lowest floor that is above all it imports.
"""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fer_jax"

# Bottom to top; `from fer_jax import x` counts as `x`. A module imports from floors below its own, never from its own.
FLOORS = [
    {
        *("", "aligned", "card_facts", "errors", "export", "forms", "machine", "metrics", "random_bits", "report"),
        *("scores", "tensorboard", "text_table"),
        *("data.dataset", "data.folds", "data.pipeline", "data.twins", "data.views"),
        *("export.content", "export.int8", "export.quiet"),
        *("models.trace",),
        *("report.chart", "report.html"),
        *("sweep.table",),
    },
    {
        *("buckets", "compiled", "config", "processes", "python_file", "score_table", "sharding"),
        *("data.digits", "data.download", "data.fer2013_facts", "data.fit_image", "data.prepared"),
        *("data.synthetic_faces",),
        *("export.formats",),
        *("predict.opencv",),
        *("report.curves", "report.paired"),
        *("sweep.experiment",),
    },
    {
        *("checkpoint", "files", "flag_errors", "lock", "members", "schedules", "signals", "summary"),
        *("sweep",),
        *("data.augment", "data.bucket_copy", "data.fer2013_folder", "data.fer_plus", "data.index_lists"),
        *("export.runtime",),
        *("models.lowering",),
        *("predict.digits", "predict.faces", "predict.frames", "predict.given"),
        *("report.figures",),
    },
    {
        *("command", "losses", "optim", "provenance", "writers"),
        *("data.fer2013_compact", "data.packed", "data.places", "data.subsets"),
        *("export.web_runtime",),
        *("models.convolution", "models.keras_files", "models.network"),
        *("predict.framing",),
        *("report.findings",),
    },
    {
        *("doubts", "inside", "over_seeds", "run_words"),
        *("data.facial_expressions", "data.faults", "data.fer2013_csv", "data.folder", "data.idx"),
        *("export.table",),
        *("models.ensemble", "models.keras_weights", "models.layers"),
    },
    {
        *("audit_text",),
        *("data.fer2013", "data.mnist"),
        *("models.chain", "models.compact", "models.fer", "models.inference", "models.mini", "models.mnist"),
        *("models.residual",),
        *("report.compare_page", "report.looks", "report.page"),
    },
    {
        *("data", "models"),
        *("export.keras",),
        *("report.look_figures",),
    },
    {
        *("audit", "steps"),
        *("export.function",),
        *("report.pictures",),
    },
    {
        *("programs", "vary"),
        *("export.onnx", "export.safetensors", "export.stablehlo", "export.verify"),
    },
    {
        *("evaluate", "member_programs", "releases"),
        *("export.web",),
    },
    {"build"},
    {
        *("card", "pacing", "record", "same_run", "seen"),
        *("sweep.grid",),
    },
    {"resume"},
    {
        *("final_scores", "open_run"),
        *("sweep.jobs", "sweep.results"),
    },
    {
        *("distill", "evaluate_run", "open_trained"),
        *("export.metadata",),
        *("report.measure",),
        *("sweep.numbers", "sweep.progress", "sweep.rows"),
    },
    {
        *("open_released",),
        *("predict.calibration",),
        *("report.write",),
        *("sweep.estimate", "sweep.halving", "sweep.plots", "sweep.tables"),
    },
    {
        *("init_from", "release"),
        *("export.write",),
        *("predict.predictor",),
        *("report.compare",),
        *("sweep.write",),
    },
    {
        *("diagnose", "predict", "train"),
        *("export.__main__",),
        *("predict.draw", "predict.output", "predict.sources"),
        *("report.__main__",),
    },
    {
        *("main",),
        *("predict.job",),
        *("sweep.run",),
    },
    {
        *("predict.__main__",),
        *("sweep.sweep",),
    },
    {
        *("reproduce",),
        *("sweep.__main__",),
    },
]

# A library, and the modules that may import it; a name that ends with a dot stands for a whole folder.
FENCES = {
    "absl.flags": (
        *("main", "audit", "export.__main__", "predict.__main__", "release", "report.__main__", "reproduce"),
        *("sweep.__main__",),
        *("command", "flag_errors"),
    ),
    "absl.app": ("command",),
    "ml_collections.config_flags": ("main",),
    "flax.linen": ("models.", "inside"),
    "orbax": ("checkpoint",),
    "tensorflow_datasets": ("data.",),
    "sklearn": ("data.",),
    "PIL": ("data.fit_image", "predict.draw"),
    "cv2": ("predict.opencv",),
    "tensorboardX": ("tensorboard",),
    "h5py": ("models.keras_files",),
    "keras": ("export.keras",),
    "jax2onnx": ("export.onnx",),
    "onnx": ("export.onnx",),
    "onnxruntime": ("export.onnx",),
    "safetensors": ("export.safetensors",),
    "tensorflow": (),
    "torch": (),
    "matplotlib": ("report.figures", "report.look_figures", "sweep.plots"),
    "configs": (),
    "experiments": (),
    "tests": (),
}


def read_imports(root):
    """Of each module in a package: (line, dotted name) of everything it imports, at its top or inside a function.

    `from a import b` imports 'a.b', which may be a module or a name in one.
    """
    modules = {}
    for path in sorted(root.rglob("*.py")):
        *folder, stem = path.relative_to(root.parent).with_suffix("").parts
        imported = modules.setdefault(".".join(folder if stem == "__init__" else [*folder, stem]), [])
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                start = folder[: len(folder) + 1 - node.level] if node.level else []
                source = ".".join([*start, node.module] if node.module else start)
                imported += [(node.lineno, f"{source}.{alias.name}") for alias in node.names]
    return modules


def arrows(modules):
    """(module, line, imported module of the same package), each without the package's own name."""
    root = min(modules, key=len)

    def short(name):
        return name.removeprefix(root).removeprefix(".")

    for module, imported in modules.items():
        for line, name in imported:
            target = name if name in modules else name.rpartition(".")[0]
            if name.split(".")[0] == root and target in modules:
                yield short(module), line, short(target)


def cycle(modules):
    """The modules of an import cycle, in its order; empty if there is none."""
    graph = {}
    for module, _, target in arrows(modules):
        graph.setdefault(module, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def upward(modules, floors):
    """A sentence for each import that does not run down, and for each module that stands nowhere."""
    floor = {module: number for number, names in enumerate(floors) for module in names}
    found = []
    for module, line, target in arrows(modules):
        if module in floor and target in floor and floor[target] >= floor[module]:
            found.append(
                f"{module}:{line} (floor {floor[module]}) imports {target} (floor {floor[target]}): imports run down"
            )
    root = min(modules, key=len)
    for name in modules:
        module = name.removeprefix(root).removeprefix(".")
        if module not in floor:
            found.append(f"{module} stands on no floor: add it to FLOORS")
    return found


def over_the_fence(modules, fences):
    """A sentence for each library that is imported outside its room."""
    root = min(modules, key=len)
    found = []
    for name, imported in modules.items():
        module = name.removeprefix(root).removeprefix(".")
        for library, rooms in fences.items():
            inside = any(f"{module}.".startswith(room) if room.endswith(".") else module == room for room in rooms)
            for line, other in imported:
                if f"{other}.".startswith(f"{library}.") and not inside:
                    allowed = " and ".join(rooms) or "nowhere"
                    found.append(f"{module}:{line} imports {other}: {library} belongs in {allowed}")
    return found


@pytest.fixture(scope="module")
def house():
    return read_imports(PACKAGE)


def test_every_file_of_the_package_is_read(house):
    assert len(house) == len(list(PACKAGE.rglob("*.py")))
    assert ("evaluate", "steps") in {(module, target) for module, _, target in arrows(house)}


def test_no_import_runs_in_a_circle(house):
    assert not cycle(house), " -> ".join(cycle(house))


def test_imports_run_down(house):
    assert not upward(house, FLOORS), "\n".join(upward(house, FLOORS))


def test_every_module_stands_on_one_floor(house):
    listed = [module for names in FLOORS for module in names]
    assert sorted(listed) == sorted(name.removeprefix("fer_jax").removeprefix(".") for name in house)


def test_libraries_stay_in_their_rooms(house):
    assert not over_the_fence(house, FENCES), "\n".join(over_the_fence(house, FENCES))


@pytest.mark.parametrize("library", sorted(library for library, rooms in FENCES.items() if rooms))
def test_every_fence_has_something_behind_it(house, library):
    assert any(f"{name}.".startswith(f"{library}.") for imported in house.values() for _, name in imported)


def test_no_file_is_called_utils():
    assert not [path for path in PACKAGE.rglob("*") if path.stem in ("util", "utils", "helpers", "misc")]


@pytest.fixture
def bad_house(tmp_path):
    """A package with every fault that the checks above look for."""
    root = tmp_path / "shack"
    (root / "rooms").mkdir(parents=True)
    sources = {
        "__init__.py": "",
        "low.py": "import orbax.checkpoint as ocp\ndef f():\n    from shack import high\n",
        "high.py": "from shack.rooms import bed\nfrom flax import linen\nimport flax.linen as nn\nimport flaxy",
        "rooms/__init__.py": "from . import bed\nfrom ..low import f",
        "rooms/bed.py": "import keras_tuner\nfrom keras import layers",
    }
    for name, source in sources.items():
        (root / name).write_text(source)
    return read_imports(root)


def test_an_arrow_that_runs_up_is_found(bad_house):
    assert set(arrows(bad_house)) == {
        *[("low", 3, "high"), ("high", 1, "rooms.bed"), ("rooms", 1, "rooms.bed"), ("rooms", 2, "low")],
    }
    floors = [{""}, {"low", "rooms.bed"}, {"rooms"}, {"high"}]
    assert upward(bad_house, floors) == ["low:3 (floor 1) imports high (floor 3): imports run down"]
    assert upward(bad_house, [{"", "low", "rooms"}, {"high"}]) == [
        "low:3 (floor 0) imports high (floor 1): imports run down",
        "rooms:2 (floor 0) imports low (floor 0): imports run down",
        "rooms.bed stands on no floor: add it to FLOORS",
    ]


def test_a_circle_is_found(bad_house):
    assert not cycle(bad_house)
    bad_house["shack.rooms.bed"].append((3, "shack.rooms"))
    assert set(cycle(bad_house)) == {"low", "high", "rooms", "rooms.bed"}


def test_a_library_outside_its_room_is_found(bad_house):
    fences = {"orbax": ("high",), "flax.linen": ("rooms.",), "keras": ()}
    assert over_the_fence(bad_house, fences) == [
        "high:2 imports flax.linen: flax.linen belongs in rooms.",
        "high:3 imports flax.linen: flax.linen belongs in rooms.",
        "low:1 imports orbax.checkpoint: orbax belongs in high",
        "rooms.bed:2 imports keras.layers: keras belongs in nowhere",
    ]
    assert not over_the_fence(bad_house, {"keras": ("rooms.",), "orbax": ("low",), "flax": ("high",)})


def test_starting_a_run_imports_no_other_framework():
    program = "import fer_jax.main, fer_jax.train, sys; print(*{name.split('.')[0] for name in sys.modules})"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    imported = set(output.split())
    assert {"fer_jax", "jax", "flax"} <= imported
    assert not imported & {"tensorflow", "torch", "keras", "matplotlib", "cv2", "onnx", "onnxruntime", "safetensors"}
