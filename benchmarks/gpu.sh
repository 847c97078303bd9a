#!/usr/bin/env bash
# On a machine with a GPU: correctness, throughput, training beside JaxMARL, a profile, and ways that
# learners do not take. JSON files and each step's log go to a folder, and gpu.json there says how
# every step ended.
#
#   benchmarks/gpu.sh OUT [CHECKOUT]      CHECKOUT of JaxMARL, for the peers
#
# PYTHON=... chooses the interpreter, ONLY="throughput peers" some of the steps. DRY=1 runs the same
# steps with tiny sizes on any device.
# Exit code: 0, 1 if a step failed, 2 for wrong use.
set -uo pipefail

out=${1:-} checkout=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../.venv/bin/python}
if [[ -z $out || $# -gt 2 ]]; then
    echo 'gpu.sh: OUT must be given: benchmarks/gpu.sh OUT [CHECKOUT]' >&2
    exit 2
fi
python=$(command -v "$python" || echo "$python") # a path from here, and we go elsewhere
[[ $python != */* ]] || python=$(cd "$(dirname "$python")" && pwd)/${python##*/}
export PYTHONPATH=$here/..:$here/../envs${PYTHONPATH:+:$PYTHONPATH}
backend=$("$python" -c 'import jax; print(jax.default_backend())') || exit 2
if [[ $backend != gpu && -z ${DRY:-} ]]; then
    echo "gpu.sh: jax must find a GPU, got $backend; DRY=1 tries the steps all the same" >&2
    exit 2
fi
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
[[ -z $checkout ]] || checkout=$(cd "$checkout" && pwd) || exit 2
cd "$here/.." || exit 2

if [[ -n ${DRY:-} ]]; then
    golden=(-k 'qtran and not f64')
    rungs=2 seconds=0.02 ladder=(iql --env toy/clock --set buffer_size=8 batch_size=2 warmup_episodes=2)
    peers=(iql --rungs 2 --updates 2 --repeats 1 --width 4 --batch 2)
    traced=(iql --env toy/clock --num-envs 2 --set buffer_size=8 batch_size=2 warmup_episodes=2)
    ways=(iql --env toy/clock --seconds 0.1)
else
    golden=(-k 'not f64')
    rungs=1,8,64,512,4096,16384 seconds=1 ladder=(qmix vdn iql maddpg maac ippo mappo)
    peers=()
    traced=(qmix --env smax/3m --num-envs 64)
    ways=(qmix --env smax/3m)
fi

steps=() code=0 dry=false
[[ -z ${DRY:-} ]] || dry=true
step() { # NAME COMMAND...: its output to NAME.log, how it ended to the list
    local name=$1 began=$SECONDS ended=0
    shift
    [[ " ${ONLY:-$name} " == *" $name "* ]] || return 0
    echo "gpu.sh: $name"
    "$@" > "$out/$name.log" 2>&1 || ended=$?
    [[ $ended == 0 ]] || { code=1; echo "gpu.sh: $name ended with $ended, see $name.log" >&2; }
    steps+=("{\"step\": \"$name\", \"exit_code\": $ended, \"seconds\": $((SECONDS - began))}")
    printf '{"backend": "%s", "dry": %s, "steps": [%s]}\n' "$backend" "$dry" \
        "$(IFS=,; echo "${steps[*]}")" > "$out/gpu.json" # of those so far, should the time run out
}

# float32 products would else be rounded to fewer bits on a GPU, and kernels be other ones
step correctness env JAX_PLATFORMS="${JAX_PLATFORMS-}" JAX_DEFAULT_MATMUL_PRECISION=highest \
    JAX_DISABLE_MOST_OPTIMIZATIONS="$dry" "$python" -m pytest -q -m golden \
    "${golden[@]}"
step throughput "$python" benchmarks/throughput.py "${ladder[@]}" --rungs "$rungs" \
    --seconds "$seconds" --out "$out"
if [[ -n $checkout ]]; then
    step peers "$python" benchmarks/peers.py --jaxmarl "$checkout" --out "$out" "${peers[@]}"
fi
step profile "$python" benchmarks/traced.py "${traced[@]}" --out "$out"
step ways "$python" benchmarks/ways.py "${ways[@]}" --out "$out"

if [[ ${#steps[@]} == 0 ]]; then
    echo "gpu.sh: ONLY must name steps, got '$ONLY'" >&2
    exit 2
fi
echo "$out/gpu.json"
exit $code
