#!/usr/bin/env bash
# Fuzzes the C core of the metrics under the address and undefined-behaviour sanitizers.
#   .ci/fuzz_metrics.sh [ITERATIONS] [SEED]     (20000 pairs of texts by default)
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
