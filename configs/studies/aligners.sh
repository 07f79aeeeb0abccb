#!/bin/sh
# Every aligner on the features of the same encoders, before and after skeleton-cache: zero-shot and generalised, mean and
# deviation over seeds, with the time each took to train.
#
#   configs/studies/aligners.sh DATA OUTPUT
#
# DATA    folder with combined/, msr_action3d/raw/, semantics/ and splits.json
# OUTPUT  folder for the runs, their configurations, table.md and table.csv
#
# A study that was stopped goes on where it was; what is finished is not run again. Parts of it, by the environment:
#   SETS="combined-58_10 quickstart" SEEDS="0 1" ALIGNERS="synse star" configs/studies/aligners.sh ...
# Further arguments go to every run: --set encoder.train.epochs=5
set -eu
if [ $# -lt 2 ]; then
  sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
root=$(cd "$(dirname "$0")/../.." && pwd)
data=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
szar=${SZAR:-$root/x}
sets=${SETS:-combined-58_10 combined-48_20 msr-action3d quickstart}
seeds=${SEEDS:-0 1 2}
all=$(cd "$root/configs/aligners" && for file in *.yaml; do echo "${file%.yaml}"; done)
aligners=${ALIGNERS:-$all}

# The configuration of aligner $1 on set $2.
write() {
  case $2 in
    combined-*) base=combined ;;
    msr-action3d | quickstart) base=$2 ;;
    *) echo "unknown set $2; known: combined-58_10 combined-48_20 msr-action3d quickstart" >&2; exit 2 ;;
  esac
  mkdir -p "$out/configs/$2"
  {
    printf 'base: "%s"\nname: %s\nadapters: [{type: skeleton-cache}]\n' "$root/configs/$base.yaml" "$1"
    sed -n '/^\(aligner\|semantics\):/,$p' "$root/configs/aligners/$1.yaml"
  } >"$out/configs/$2/$1.yaml"
}

# Asked to stop, the run in progress keeps what it reached; the rest waits for the next call.
trap 'exit 130' INT TERM
failed=
for set in $sets; do
  for aligner in $aligners; do write "$aligner" "$set"; done
  for seed in $seeds; do
    case $set in
      combined-*) set -- --set "dataset.root=$data/combined" --set "dataset.split.name=${set#combined-}_seed0" "$@" ;;
      msr-action3d) set -- --set "dataset.root=$data/msr_action3d/raw" "$@" ;;
    esac
    echo "$set seed $seed" >&2
    # One process for all aligners of a set and seed.
    (
      cd "$out/configs/$set"
      # shellcheck disable=SC2046
      "$szar" run $(for aligner in $aligners; do echo "$aligner.yaml"; done) --quiet \
        --set "seed=$seed" --set "output=$out/runs" "$@" >/dev/null
    ) || failed="$failed $set/$seed"
    case $set in
      combined-*) shift 4 ;;
      msr-action3d) shift 2 ;;
    esac
  done
done

by=dataset,split,name
"$szar" table "$out/runs" --by "$by" --csv >"$out/table.csv"
"$szar" table "$out/runs" --by "$by" | tee "$out/table.md"
if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
