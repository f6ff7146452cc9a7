#!/usr/bin/env bash
# clang-tidy (.clang-tidy) over src/: all of it, only what differs from main (--changed), or the files named.
# --changed looks at .cc files only: after a change in a header, run all.
set -euo pipefail
cd "$(dirname "$0")/.."

# Configurations of their own with clang++, so that the flags are clang's and nothing has to be built first; with all of
# src/, which takes CUDA. For all of it CMake puts the files of a module together, eight in a batch, so that the headers
# are read once for all of them; kernels stay alone.
files=build/tidy batches=build/tidy-batches
export files batches

all_sources() {
  cmake --preset tidy -B $batches -DCMAKE_UNITY_BUILD=ON >/dev/null
  find $batches/src -path '*/Unity/*.cxx'
  comm -23 <(find "$PWD/src" -name '*.cc' | sort) \
    <(find $batches/src -path '*/Unity/*.cxx' -exec sed -n 's/^#include "\(.*\)"$/\1/p' {} + | sort)
}
changed_sources() {
  { git diff --name-only --diff-filter=d "$(git merge-base HEAD main)"; git ls-files --others --exclude-standard; } |
    grep -E '^src/.*\.cc$' || true
}

tidy_file() { clang-tidy --quiet -p $files "$1"; }

# Names that every file has for itself may meet in a batch, which then does not compile: its files follow one by one.
tidy_batch() {
  local log file status=0
  log=$(clang-tidy --quiet -p $batches --header-filter="$PWD/src/" "$PWD/$1" 2>&1) && return
  if ! grep -q '\[clang-diagnostic-error' <<<"$log"; then
    echo "$log"
    return 1
  fi
  for file in $(sed -n 's/^#include "\(.*\)"$/\1/p' "$1"); do
    tidy_file "$file" || status=1
  done
  return $status
}

tidy() { case "$1" in */Unity/*) tidy_batch "$1" ;; *) tidy_file "$1" ;; esac }
export -f tidy tidy_file tidy_batch

cmake --preset tidy >/dev/null
case "${1:-}" in
  "") all_sources ;;
  --changed) changed_sources ;;
  *) printf '%s\n' "$@" ;;
esac | xargs -d '\n' -r -P "$(nproc)" -I{} bash -c 'tidy {}' 2> >(grep -v ' warnings\? generated\.$' >&2 || true)
