#!/usr/bin/env bash
# Runs every fuzz target of build/fuzz for SECONDS each, two at a time: tools/run_fuzzers.sh SECONDS
# The corpus of a target lives in build/fuzz/corpus/<target>, seeded with the fitting small files of testdata/, and grows
# from run to run. Fails on any crash, leak, hang or memory beyond 2 GiB; the input that did it is left in build/fuzz/crashes.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: tools/run_fuzzers.sh SECONDS}

# The file names of testdata/ that a target starts from.
seeds_of() {
  case "$1" in
    *safetensors*) echo '*.safetensors' ;;
    *tokenizer*) echo 'tokenizer*.json' ;;
    *json* | *recipe*) echo '*.json*' ;;
    *import*) echo 'import_*' ;;
    *image* | *png* | *jpeg* | *webp*) echo '*.[pjw]*g *.webp' ;;
    *) echo '*' ;;
  esac
}

seed_corpus() {
  local target=$1 pattern file
  mkdir -p "build/fuzz/corpus/$target"
  set -f
  for pattern in $(seeds_of "$target"); do
    find testdata -name "$pattern" -type f -size -64k -print0
  done | while IFS= read -r -d '' file; do
    cp -n "$file" "build/fuzz/corpus/$target/seed-${file//\//_}"
  done
  set +f
}

run_one() {
  local target=$1 seconds=$2 log="build/fuzz/$1.log"
  if "build/fuzz/targets/$target" "build/fuzz/corpus/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
    -artifact_prefix="build/fuzz/crashes/$target-" -print_final_stats=1 >"$log" 2>&1; then
    echo "$target: ok, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
  else
    tail -n 60 "$log"
    echo "$target: FAILED (log: $log)"
    return 1
  fi
}
export -f run_one

mkdir -p build/fuzz/crashes
targets=()
for source in fuzz/fuzz_*.cc; do
  target=$(basename "$source" .cc)
  seed_corpus "$target"
  targets+=("$target")
done
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'run_one {} '"$seconds"
