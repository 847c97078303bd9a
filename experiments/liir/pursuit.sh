#!/usr/bin/env bash
# LIIR's study on 1D pursuit, into runs/pursuit-study (or the folder given); the recorded
# results are of SEEDS=8. Then:
#   python experiments/report.py runs/pursuit-study experiments/liir/results/pursuit
#   python experiments/liir/pursuit.py runs/pursuit-study experiments/liir/results/pursuit
# The team earns 0.01 where SMAC pays about 0.33 a step: the intrinsic weight is 3e-4, not 0.01.
set -euo pipefail
out=${1:-runs/pursuit-study}
train() {
  jmarl train liir --env pursuit/line --preset fast --num-envs 32 --total-steps "${STEPS:-400_000}" \
    --seeds "${SEEDS:-10}" --evaluations 10 --eval-episodes 128 --intrinsic-weight "$2" \
    --out "$out/line-$1" "${@:3}"
}
train exact 3e-4
train release 3e-4 --release-mode true
train weightless 0
train random 3e-4 --intrinsic random
