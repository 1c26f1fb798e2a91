"""ONNX Runtime Web, which runs a network in a browser: two files of its package on npm, checked by SHA-256 and kept."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from fer_jax.data.download import cache_folder, is_offline
from fer_jax.errors import UserError
from fer_jax.files import write_whole

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
PROGRAM, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
FILES = {
    PROGRAM: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Plain WebAssembly on the CPU, and the program around it: the SHA-256 of each."""
ARCHIVE = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
"""SHA-256 of the package as npm has it."""
_SECONDS = 600


def runtime_files(folder: str = "") -> dict[str, bytes]:
    """The two files.

    Args:
      folder: holds them, as the unpacked package does in 'dist'; '' takes them from the user's cache, and the first
        time from npm.

    Raises:
      UserError: they cannot be had, or are not those of this version.
    """
    if folder:
        return _read(Path(folder))
    kept = cache_folder() / f"{PACKAGE}-{VERSION}"
    if all((kept / name).is_file() for name in FILES):
        return _read(kept)
    found = _from_npm()
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError:
        return found  # A cache that cannot be written costs another download, and nothing else.
    for name, content in found.items():
        write_whole(kept / name, content)
    return found


def _read(folder: Path) -> dict[str, bytes]:
    for inside in (folder, folder / "dist", folder / "package" / "dist"):
        if all((inside / name).is_file() for name in FILES):
            return {name: _checked(name, (inside / name).read_bytes(), str(inside / name)) for name in FILES}
    raise UserError(f"{folder} does not hold {PROGRAM} and {WASM}: unpack the npm package {PACKAGE} {VERSION} there")


def _checked(name: str, content: bytes, where: str) -> bytes:
    if hashlib.sha256(content).hexdigest() != FILES[name]:
        raise UserError(
            f"{where} is not that of {PACKAGE} {VERSION} (its SHA-256 differs): delete it, and get it again"
        )
    return content


def _from_npm() -> dict[str, bytes]:
    hint = f"unpack the npm package {PACKAGE} {VERSION} yourself and name its folder with --runtime=DIR"
    if is_offline():
        raise UserError(f"the page needs {PACKAGE} {VERSION}, and FER_JAX_OFFLINE forbids to fetch it: {hint}")
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"the page needs {PACKAGE} {VERSION}, which npm would fetch, and npm is not installed: {hint}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", f"--pack-destination={folder}", "--silent"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise UserError(f"npm did not fetch {PACKAGE} {VERSION} within {_SECONDS} s: {hint}") from error
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise UserError(f"npm could not fetch {PACKAGE} {VERSION} ({reason[:200]}): {hint}")
        if hashlib.sha256(archives[0].read_bytes()).hexdigest() != ARCHIVE:
            raise UserError(f"what npm fetched is not {PACKAGE} {VERSION} (its SHA-256 differs): {hint}")
        found = {}
        with tarfile.open(archives[0]) as archive:
            for name in FILES:
                # Read by its name, and never unpacked to where the archive would have it.
                member = archive.extractfile(f"package/dist/{name}")
                found[name] = _checked(name, member.read() if member else b"", f"{name} from npm")
        return found
