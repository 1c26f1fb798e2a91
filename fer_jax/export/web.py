"""One HTML file that opens from a disk: draw a digit or open a picture, and see what the network makes of it.

Everything is in the file: the ONNX form of the network, and the runtime for it, packed with gzip as base64, because a
page from a disk can fetch nothing. What frames a picture is in `page/`, in the arithmetic of its Python original.
"""

import base64
import gzip
import importlib.resources
import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from fer_jax import card_facts
from fer_jax.errors import UserError
from fer_jax.export import onnx
from fer_jax.export.content import Content, Loaded
from fer_jax.export.web_runtime import PROGRAM, VERSION, WASM, runtime_files
from fer_jax.files import most_unpacked

PROGRAMS = ("pictures.js", "digits.js", "app.js")
DIGIT_WORDS = (
    "Single handwritten digits, as in MNIST: scans of digits that American census clerks and pupils wrote around 1990.",
    "It gives a digit for any picture: it has no answer that this is none, and its probabilities mean little far from "
    "such digits.",
)
DIGIT_LIMITS = (
    "Reading amounts, addresses, exams or anything else that matters, without a person who checks.",
    "Numbers of several digits: it takes one at a time.",
)


def write(path: Path, content: Content, runtime: str = "") -> None:
    """Writes the page.

    Args:
      path: of the page.
      content: what goes into it.
      runtime: as in `web_runtime.runtime_files`.

    Raises:
      UserError: the runtime cannot be had, or the network cannot be written as ONNX.
    """
    files = runtime_files(runtime)
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "network.onnx"
        onnx.write(network, content)
        packed = _packed(network.read_bytes())
    facts = facts_of(content)
    page = importlib.resources.files("fer_jax.export") / "page"
    parts = {
        "TITLE": _escaped(facts["title"]),
        "STYLE": (page / "page.css").read_text(encoding="utf-8"),
        "PROGRAM": "\n".join((page / name).read_text(encoding="utf-8") for name in PROGRAMS),
        # Inside a script element nothing but its end is markup.
        "FACTS": json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c"),
        "RUNTIME": VERSION,
        "NETWORK": packed,
        "RUNTIME_JS": _packed(files[PROGRAM]),
        "RUNTIME_WASM": _packed(files[WASM]),
    }
    template = (page / "page.html").read_text(encoding="utf-8")
    path.write_text(re.sub(r"@([A-Z_]+)@", lambda found: parts[found[1]], template), encoding="utf-8")


def facts_of(content: Content) -> dict[str, Any]:
    """What the page knows of the network.

    Returns:
      `title`, `what`, `labels`, `image_shape`, `framing` ('digits' or 'whole'), `words` (titles, each with its
      sentences: what it is and is not for), `stand_in`, `origin` and `metadata`.
    """
    told = {key: json.loads(value) for key, value in content.metadata.items() if key not in ("stand_in", "model_card")}
    data, name = told["data"], told["config"]["model"]["name"]
    wanted = data["stand_in_for"] or data["name"]
    facts = card_facts.FACTS.get(wanted)
    framing = "digits" if wanted in ("mnist", "digits") and content.model.image_shape == (28, 28, 1) else "whole"
    height, width, _ = content.model.image_shape
    words: list[tuple[str, list[str]]] = []
    if facts:
        words = [
            ("What the classes are", [card_facts.APPARENT]),
            ("What it is for", list(card_facts.INTENDED)),
            ("What it is not for", [*card_facts.OUT_OF_SCOPE, card_facts.LAW]),
            ("What is known to be wrong", [*facts.faults, *facts.biases, card_facts.NO_GROUPS]),
        ]
    elif framing == "digits":
        words = [("What it is for", list(DIGIT_WORDS)), ("What it is not for", list(DIGIT_LIMITS))]
    return {
        "title": f"{name}: a network of {_parameters(content):,} parameters",
        "what": f"It gives one of {len(told['labels'])} classes to a picture of {width}x{height} pixels: "
        f"{', '.join(told['labels'])}.",
        "labels": told["labels"],
        "image_shape": list(content.model.image_shape),
        "framing": framing,
        "words": [(title, [sentence.replace("**", "") for sentence in sentences]) for title, sentences in words],
        "stand_in": content.metadata.get("stand_in", ""),
        "origin": json.dumps(
            {key: told[key] for key in ("data", "checkpoint", "trained_with", "exported_with")}, indent=2
        ),
        "metadata": content.metadata,
    }


def _parameters(content: Content) -> int:
    import jax

    return sum(leaf.size for leaf in jax.tree.leaves(dict(content.variables)))


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _unpacked(packed: bytes) -> bytes:
    most = most_unpacked(len(packed))
    with gzip.open(io.BytesIO(packed)) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise UserError(f"the network in the page unpacks to more than {most:,} bytes, which is too much for its size")
    return content


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def open_file(path: Path) -> Loaded:
    """The network inside a page, in onnxruntime; what a browser makes of the page is for a browser to say."""
    text = path.read_text(encoding="utf-8")

    def inside(name: str) -> str:
        found = re.search(rf'<script type="[a-z/]+" id="{name}">(.*?)</script>', text, re.DOTALL)
        if found is None:
            raise UserError(f"{path} is no page of fer_jax: it lacks its '{name}'")
        return found[1]

    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "network.onnx"
        network.write_bytes(_unpacked(base64.b64decode(inside("network"))))
        loaded = onnx.open_file(network)
    return loaded._replace(metadata=json.loads(inside("facts"))["metadata"])
