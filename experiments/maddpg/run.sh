#!/usr/bin/env bash
# The studies of this folder, into runs/maddpg-study (or the folder given); under an hour on two
# CPU cores. Then: python experiments/report.py runs/maddpg-study experiments/maddpg/results
set -euo pipefail
out=${1:-runs/maddpg-study}
jmarl train maddpg --env mpe/simple_spread --total-steps 2e6 \
  --seeds 4 --eval-episodes 128 --out "$out/simple_spread-maddpg"
for algorithm in maddpg ddpg; do
  jmarl train "$algorithm" --env mpe/simple_speaker_listener --total-steps 625_000 \
    --seeds 6 --eval-episodes 128 --out "$out/simple_speaker_listener-$algorithm"
done
