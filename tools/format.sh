#!/usr/bin/env bash
# Formats every C++ source in place; with --check, names the ones that are not formatted and fails.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --check ]; then mode=(--dry-run -Werror); else mode=(-i); fi
find src tests fuzz bench tools -name '*.cc' -print0 -o -name '*.h' -print0 -o -name '*.cu' -print0 |
  xargs -0 -r -n 16 -P "$(nproc)" clang-format "${mode[@]}"
