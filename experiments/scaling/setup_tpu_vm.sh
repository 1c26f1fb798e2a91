#!/usr/bin/env bash
# Sets fer_jax up on a fresh TPU VM: Python 3.11 beside the system's own, a virtual environment, JAX for TPU, this checkout.
set -euo pipefail
here="$(cd "$(dirname "$0")/../.." && pwd)"
venv="${1:-$HOME/fer_jax_venv}"

python=$(command -v python3.12 || command -v python3.11 || true)
if [ -z "$python" ]; then
  sudo apt-get update -q
  sudo apt-get install -y -q python3.11 python3.11-venv
  python=$(command -v python3.11)
fi
"$python" -m venv "$venv"
"$venv/bin/pip" install -q --upgrade pip
"$venv/bin/pip" install -q -e "$here[gcs]" 'jax[tpu]'
"$venv/bin/python" - <<'CHECK'
import jax

devices = jax.local_devices()
print(f"{len(devices)} x {devices[0].device_kind}")
raise SystemExit(0 if devices[0].platform == "tpu" else "JAX finds no TPU here: does another process hold it?")
CHECK
