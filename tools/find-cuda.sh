#!/usr/bin/env bash
# Prints the folder of a CUDA toolkit with cuBLAS: the one whose nvcc is in PATH or in /usr/local/cuda, else the wheels of
# tools/cuda-wheels.txt, which it installs in build/cuda-toolkit.
set -euo pipefail
cd "$(dirname "$0")/.."

for nvcc in "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
  [ -x "$nvcc" ] || continue
  root=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
  if ls "$root"/include/cublasLt.h "$root"/targets/*/include/cublasLt.h >/dev/null 2>&1; then
    echo "$root"
    exit
  fi
done

venv=build/cuda-toolkit
if [ ! -e "$venv/complete" ]; then
  tools/install-packages.sh cuda
  /usr/bin/python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tools/cuda-wheels.txt >&2
  touch "$venv/complete"
fi
echo "$PWD/$(echo "$venv"/lib/python3*/site-packages/nvidia/cu13)"
