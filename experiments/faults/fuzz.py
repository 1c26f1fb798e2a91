"""Gives every reader of files hostile input, and counts what comes of it.

    python experiments/faults/fuzz.py --cases=20000

Each case is a file or a folder that was damaged or made to do harm, from `tests/hostile`, and is judged by the oracle
there. Each reader has a process of its own: one that dies is a finding too. The exit code is 1 if there is one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BATCH = 500
"""Cases that are drawn from one seed."""


def arguments() -> argparse.Namespace:
    """The words of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20000, help="how many in all, or of the one reader")
    parser.add_argument("--reader", default="", help="the one to be fuzzed; default: each, as its weight says")
    parser.add_argument("--seed", type=int, default=0, help="of the cases")
    parser.add_argument("--at_once", type=int, default=1, help="how many readers are fuzzed at the same time")
    parser.add_argument("--out", type=Path, default=HERE / "fuzz.json", help="the JSON file for what was found")
    return parser.parse_args()


def fuzz(name: str, cases: int, seed: int) -> dict[str, Any]:
    """Fuzzes one reader in this process."""
    import hypothesis
    from hostile import oracle
    from hostile.readers import READERS
    from hypothesis import strategies as st

    verdicts: list[oracle.Verdict] = []
    findings: list[str] = []
    start = time.monotonic()
    with oracle.sandbox() as folder:
        while len(verdicts) < cases and not findings:

            @hypothesis.seed(seed)
            @hypothesis.settings(
                max_examples=min(BATCH, cases - len(verdicts)),
                deadline=None,
                database=None,
                report_multiple_bugs=False,
                suppress_health_check=list(hypothesis.HealthCheck),
                phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
            )
            @hypothesis.given(st.data())
            def one(data: st.DataObject) -> None:
                verdicts.append(oracle.judge(READERS[name], data.draw, folder))

            try:
                one()
            except Exception as error:
                findings.append(f"{type(error).__name__}: {error}")
                traceback.print_exception(error)
            seed += 1
    heaviest = max(verdicts, key=lambda verdict: verdict.taken, default=oracle.Verdict(True, 0, 0, 0))
    return {
        "cases": len(verdicts),
        "seconds": round(time.monotonic() - start, 1),
        "refused": sum(verdict.refused for verdict in verdicts),
        "accepted": sum(not verdict.refused for verdict in verdicts),
        "slowest_s": round(max((verdict.seconds for verdict in verdicts), default=0), 3),
        "most_memory_mib": round(heaviest.taken / 2**20, 1),
        "of_bytes": heaviest.size,
        "findings": findings,
    }


def main() -> int:
    """Fuzzes each reader in a process of its own; 0 if nothing is found."""
    words = arguments()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    if words.reader:
        found = fuzz(words.reader, words.cases, words.seed)
        words.out.write_text(json.dumps(found, indent=2) + "\n")
        return bool(found["findings"])
    from hostile.readers import READERS

    total = sum(reader.weight for reader in READERS.values())
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(words.at_once) as pool:

        def of_its_own(name: str) -> dict[str, Any]:
            out = Path(folder) / f"{name}.json"
            count = -(-words.cases * READERS[name].weight // total)
            command = [sys.executable, __file__, f"--reader={name}", f"--cases={count}", f"--seed={words.seed}"]
            done = subprocess.run([*command, f"--out={out}"])
            died = {"cases": 0, "findings": [f"its process died: exit code {done.returncode}"]}
            found = json.loads(out.read_text()) if out.exists() else died
            print(f"{name}: {json.dumps(found)}", flush=True)
            return found

        found = dict(zip(READERS, pool.map(of_its_own, READERS), strict=True))
    whole = {
        "cases": sum(one["cases"] for one in found.values()),
        "seconds": round(time.monotonic() - start),
        "findings": sum(len(one["findings"]) for one in found.values()),
        "readers": found,
    }
    words.out.write_text(json.dumps(whole, indent=2) + "\n")
    return bool(whole["findings"])


if __name__ == "__main__":
    sys.exit(main())
