#!/usr/bin/env bash
# Fuzzes the C core of the metrics, and the compiled readers of PNGs and of run-length text, under the address
# and undefined-behaviour sanitizers.
#   .ci/fuzz_metrics.sh [ITERATIONS] [SEED]     (20000 pairs of texts by default, a tenth as many images)
set -euo pipefail
cd "$(dirname "$0")/.."

compiler=${CC:-}
for candidate in gcc clang cc; do
  if [ -z "$compiler" ] && command -v "$candidate" >/dev/null; then compiler=$candidate; fi
done
if [ -z "$compiler" ]; then
  echo "no C compiler: the metric core was not fuzzed"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
if ! echo 'int main(void) { return 0; }' | "$compiler" $flags -x c - -o "$work/probe" 2>/dev/null || ! "$work/probe"; then
  echo "$compiler has no sanitizers here: the metric core was not fuzzed"
  exit 0
fi
core=benchmark/metrics/core
# The disk of the usual radii as a constant multiplies the code but not its paths through memory; one is enough.
"$compiler" $flags '-DUSUAL_RADII(DO)=DO(8)' -I "$core" \
  tests/benchmark/fuzz/fuzz_core.c "$core"/engine.c "$core"/level_*.c -o "$work/fuzz_core"
"$work/fuzz_core" "${1:-20000}" "${2:-1}"

# The readers are Python modules: the sanitizers' library has to be there before Python starts.
python=${PYTHON:-python}
library=$("$compiler" -print-file-name=libasan.so)
if [ ! -e "$library" ]; then
  echo "$compiler has no shared sanitizer library: the readers of PNGs and texts were not fuzzed"
  exit 0
fi
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
for name in png_rows run_texts; do
  "$compiler" $flags -DPy_LIMITED_API=0x030B0000 -I "$include" -shared -fPIC "benchmark/$name.c" -o "$work/_$name.so"
done
# Python itself keeps memory to its end, and its allocator would hide the ends of buffers.
LD_PRELOAD=$library ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
  "$python" -m tests.benchmark.fuzz.fuzz_readers "$work" "$((${1:-20000} / 10))" "${2:-1}"
