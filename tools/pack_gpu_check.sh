#!/usr/bin/env bash
# Packs tools/gpu_check.sh with the programs, libraries and data that it needs:
#   tools/pack_gpu_check.sh [ARCHITECTURE...]      default: 90; writes build/gpu_check.tar.xz
# On the machine with the GPU:  tar xf gpu_check.tar.xz && gpu_check/gpu_check.sh
set -euo pipefail
cd "$(dirname "$0")/.."
archs=${*:-90}
tools/install-packages.sh build test
cmake --preset cuda -DQSWEEP_CUDA_ROOT="$(tools/find-cuda.sh)" -DQSWEEP_CUDA_ARCHS="${archs// /;}" >/dev/null
programs=(qsweep qsweep-synth)
for module in kernels ops graph models pass sweep cli; do programs+=("qsweep_test_$module"); done
cmake --build build/cuda -j "$(nproc)" --target "${programs[@]}"

pack=build/gpu_check
rm -rf "$pack"
mkdir -p "$pack"/{bin,lib,testdata,bench}
for program in "${programs[@]}"; do
  found=$(find build/cuda -name "$program" -type f -executable -print -quit)
  strip -o "$pack/bin/$program" "$found"
  # All but the C library, which is the machine's.
  ldd "$found" | awk '/=> \// { print $3 }' | grep -vE '/(libc|libm|libdl|libpthread|librt)\.so' |
    xargs -I{} cp -Lu {} "$pack/lib/"
done
cp tools/gpu_check.sh "$pack/"
cp -r testdata/tiny-qwen2.5-vl testdata/data testdata/goldens "$pack/testdata/"
cp -r bench/configs bench/data "$pack/bench/"
mkdir -p "$pack/testdata/images" && cp -r testdata/images/. "$pack/testdata/images/"
tar -C build -cJf build/gpu_check.tar.xz gpu_check
du -h build/gpu_check.tar.xz
