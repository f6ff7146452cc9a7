#!/usr/bin/env bash
# Checks and measures qsweep on a machine with an NVIDIA GPU and its driver, and prints a table; exit code 1 where a check
# fails. It needs none of our packages: tools/pack_gpu_check.sh puts it together with all that it runs.
#   gpu_check.sh [OUT]      OUT: folder for logs and runs (default: gpu_check_out), 8 GB for the synthetic 3B model
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-gpu_check_out}
mkdir -p "$out/logs"
export LD_LIBRARY_PATH="$here/lib:${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64"
export QSWEEP_TESTDATA="$here/testdata" QSWEEP_PROGRAM="$here/bin/qsweep" QSWEEP_SYNTH_PROGRAM="$here/bin/qsweep-synth"
qsweep="$here/bin/qsweep"
failed=0

# row NAME COMMAND...: runs it, and prints its outcome, its time and the last line that matches $shown.
shown='.'
row() {
  local name=$1 log begin=$SECONDS outcome=ok
  log="$out/logs/${name//[^a-z0-9]/_}.log"
  shift
  "$@" >"$log" 2>&1 || {
    outcome=FAILED
    failed=1
  }
  printf '| %-40s | %-6s | %5d s | %s |\n' "$name" "$outcome" $((SECONDS - begin)) "$(grep -E "$shown" "$log" | tail -n 1)"
}

"$qsweep" inspect "$here/testdata/tiny-qwen2.5-vl" --device cuda >/dev/null || exit 1
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
echo "| check | outcome | time | last words |"
echo "| --- | --- | ---: | --- |"
shown='PASSED|FAILED|tests ran'
for module in kernels ops graph models pass sweep cli; do
  row "tests of $module" "$here/bin/qsweep_test_$module" --gtest_filter='*/CUDA*:*_cuda:*Cuda*'
done

tiny=("$qsweep" score "$here/testdata/tiny-qwen2.5-vl" --data "$here/testdata/data/eval.jsonl" --samples 2 --device cuda)
if sanitizer=$(command -v compute-sanitizer); then
  shown='ERROR SUMMARY|RACECHECK SUMMARY'
  for tool in memcheck racecheck; do
    row "tiny model under $tool" "$sanitizer" --tool "$tool" --error-exitcode 1 \
      "${tiny[@]}" --ops '*.1.*' --out "$out/$tool"
  done
else
  echo "compute-sanitizer is not in PATH: memcheck and racecheck were not run"
fi
shown='phase'
row "tiny model, all ops" "${tiny[@]}" --format int --format fp --out "$out/tiny"

shown='.'
model="$out/qwen2.5-vl-3b"
[ -e "$model/model.safetensors.index.json" ] ||
  row "synthetic 3B" "$here/bin/qsweep-synth" "$here/bench/configs/qwen2.5-vl-3b" "$model"
score=("$qsweep" score "$model" --format w8a8 --device cuda)
cat "$model"/*.safetensors >/dev/null # from the page cache, so that the disk is not measured
shown='phase'
row "3B, 3 captions, 253 ops, exact" "${score[@]}" --data "$here/bench/data/captions.jsonl" --out "$out/captions"
image=(--data "$here/bench/data/image.jsonl" --allow-outside "$here/testdata/images" --image-size 672)
row "3B, one 672x672 image, 416 ops, exact" "${score[@]}" "${image[@]}" --out "$out/image"
row "3B, one 672x672 image, 416 ops, adjoint" "${score[@]}" "${image[@]}" --method adjoint --out "$out/image_adjoint"
exit "$failed"
