#!/usr/bin/env bash
# clang-tidy (.clang-tidy) over src/: all of it, only what differs from main (--changed), or the files named.
# --changed looks at .cc files only: after a change in a header, run all.
set -euo pipefail
cd "$(dirname "$0")/.."

# A configuration of its own with clang++, so that the flags are clang's and nothing has to be built first; with all of
# src/, which takes CUDA.
cmake -S . -B build/tidy -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Debug -DQSWEEP_CUDA=EMULATED >/dev/null

all_sources() { find src -name '*.cc' | sort; }
changed_sources() {
  { git diff --name-only --diff-filter=d "$(git merge-base HEAD main)"; git ls-files --others --exclude-standard; } |
    grep -E '^src/.*\.cc$' || true
}

case "${1:-}" in
  "") all_sources ;;
  --changed) changed_sources ;;
  *) printf '%s\n' "$@" ;;
esac | xargs -d '\n' -r -n 1 -P "$(nproc)" clang-tidy --quiet -p build/tidy 2> >(grep -v ' warnings\? generated\.$' >&2 || true)
