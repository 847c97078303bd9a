# Sourced by matching.sh and sz.sh: the rivals that RIVALS names, each in settings of refil.
settings() { # RIVAL
  case $1 in
    refil) ;;
    qmix) echo --groups none ;;
    vdn) echo --mixer sum --groups none ;;
    refil_vdn) echo --mixer sum ;;
    oracle) echo --groups random_true ;;
    released_oracle) echo --groups random_true --groups-known opening ;;
    fixed_oracle) echo --groups true ;;
    *)
      echo "RIVALS must be of refil, qmix, vdn, refil_vdn, oracle, released_oracle, fixed_oracle, got $1" >&2
      return 2
      ;;
  esac
}
for rival in ${RIVALS-}; do settings "$rival" >/dev/null; done # before anything is trained
