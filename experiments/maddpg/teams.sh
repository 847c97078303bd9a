#!/usr/bin/env bash
# The paper's tasks of several teams, its inferred policies and its ensembles, into
# runs/maddpg-teams (or the folder given), 25,000 episodes a policy as in the paper.
#   SEEDS=4 experiments/maddpg/teams.sh                                             as recorded
#   TASKS="simple_tag simple_push" PARTS="contest ensemble" STEPS=312500   choose
# Then: python experiments/teams.py runs/maddpg-teams experiments/maddpg/results/teams
set -euo pipefail
out=${1:-runs/maddpg-teams} steps=${STEPS:-625000}
tasks=${TASKS:-simple_tag simple_adversary simple_speaker_listener simple_crypto simple_push}
declare -A size=([simple_push]=3 [simple_adversary]=3 [simple_tag]=2) # sub-policies, as in the paper

train() { # ALGORITHM TASK LABEL FLAGS...
  jmarl train "$1" --env "particle/$2" --preset openai --actor-lr 3e-3 --seeds "${SEEDS:-10}" \
    --evaluations 10 --eval-episodes 128 --quiet "${@:4}" --out "$out/$2-$3"
}

meet() { # TASK RUN RUN FILE
  jmarl crossplay "$out/$1-$2" "$out/$1-$3" --episodes 1000 --out "$out/$1-$4.png"
}

contest() {
  for algorithm in maddpg ddpg; do train $algorithm "$1" $algorithm --total-steps "$steps"; done
  if [[ $1 == simple_speaker_listener ]]; then
    train maddpg "$1" maddpg_inferred --total-steps "$steps" --infer-policies
  else
    meet "$1" maddpg ddpg crossplay
  fi
}

# as many updates of each sub-policy as of the single ones, so K times the steps; nothing is forgotten
ensemble() {
  local k=${size[$1]:-}
  if [[ -z $k ]]; then return; fi
  train maddpg "$1" maddpg_ensemble --total-steps $((k * steps)) --buffer-size $((k * steps * 11 / 10)) \
    --ensemble "$k" --ensemble-by team
  meet "$1" maddpg maddpg_ensemble ensemble-crossplay
}

for part in ${PARTS:-contest ensemble}; do
  for task in $tasks; do $part "$task"; done
done
