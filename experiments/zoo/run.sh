#!/usr/bin/env bash
# Trains what policies/ holds into runs/zoo (or the folder given), then measures and ships it. Some
# hours on two CPU cores, most of them for what came from the studies, with their four or five
# seeds; ONLY="qmix-matrix-two_step vdn-grid-switch2" trains and ships those alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:-runs/zoo} trained=()
train() { # POLICY WORDS...
  [[ " ${ONLY:-$1} " == *" $1 "* ]] || return 0
  jmarl train "${@:2}" --quiet --out "$out/$1"
  trained+=("$out/$1")
}
train maddpg-mpe-simple_spread @maddpg/mpe-simple_spread --seeds 1 --total-steps 1e6
train maac-particle-rover_tower @maac/particle-rover_tower --seeds 1
train vdn-grid-switch2 @vdn/grid-switch2 --seeds 2
train qmix-matrix-two_step @qmix/matrix-two_step --seeds 1
train qmix-smax-3m @qmix/smax-3m --seeds 1 --total-steps 2.5e5
train qatten-matrix-mild_penalty @qatten/matrix-mild_penalty --seeds 1
train qtran-matrix-safe_choice @qtran/matrix-safe_choice --seeds 1
train refil-refil-group_matching refil --preset group_matching --total-steps 4e5 --seeds 5 --num-envs 32 \
  --batch-size 8 --optimiser adam --td-lambda 0.6 --evaluations 20 --eval-episodes 256 --groups random_true
train liir-pursuit-line @liir/pursuit-line --seeds 2
train liir-smax-3m @liir/smax-3m --seeds 4
train liir-smax-2s3z @liir/smax-2s3z --seeds 4
train coma-smax-3m @coma/smax-3m --seeds 4
train central_v-smax-8m @central_v/smax-8m --seeds 4
train iac-smax-3m @iac/smax-3m --seeds 4
train ippo-mpe-simple_spread @ippo/mpe-simple_spread --seeds 4
train mappo-smax-2s3z @mappo/smax-2s3z --seeds 4
python experiments/zoo/ship.py "${trained[@]}"
