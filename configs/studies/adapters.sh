#!/bin/sh
# Every adapter against the same trained models: class mean and top-1 before and after, mean and deviation over seeds.
#
#   configs/studies/adapters.sh DATA OUTPUT
#
# DATA    folder with combined/, msr_action3d/raw/, semantics/ and splits.json
# OUTPUT  folder for the runs, their configurations, table.md and table.csv
#
# Runs that differ in nothing but their adapters share encoder and aligner, so that each is trained once. A study that was
# stopped goes on where it was; what is finished is not run again. Parts of it, by the environment:
#   SETS="combined-58_10 quickstart" PARTITIONS=static SEEDS="0 1" ADAPTERS="none tda" configs/studies/adapters.sh ...
# Further arguments go to every run: --set encoder.train.epochs=5
set -eu
if [ $# -lt 2 ]; then
  sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
root=$(cd "$(dirname "$0")/../.." && pwd)
data=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
szar=${SZAR:-$root/x}
sets=${SETS:-combined-58_10 combined-48_20 msr-action3d quickstart}
partitions=${PARTITIONS:-global static adaptive}
seeds=${SEEDS:-0 1 2}
all=$(cd "$root/configs/adapters" && for file in *.yaml; do echo "${file%.yaml}"; done)
adapters=${ADAPTERS:-$all}

# The configuration of adapter $1 on set $2: the set's pipeline with the adapter's block, and the set's prior.
write() {
  case $2 in
    combined-*) base=combined prior='${dataset.root}/../semantics/combined_prior.json' ;;
    msr-action3d) base=msr-action3d prior='${dataset.root}/../../semantics/msr_action3d_prior.json' ;;
    quickstart) base=quickstart prior=$root/configs/semantics/procedural_prior.json ;;
    *) echo "unknown set $2; known: combined-58_10 combined-48_20 msr-action3d quickstart" >&2; exit 2 ;;
  esac
  mkdir -p "$out/configs/$2"
  {
    printf 'base: "%s"\nname: %s\n' "$root/configs/$base.yaml" "$1"
    sed -n '/^adapters:/,$p' "$root/configs/adapters/$1.yaml" | sed "s|^\( *prior:\).*|\1 \"$prior\"|"
  } >"$out/configs/$2/$1.yaml"
}

# Asked to stop, the run in progress keeps what it reached; the rest waits for the next call.
trap 'exit 130' INT TERM
failed=
for set in $sets; do
  for adapter in $adapters; do write "$adapter" "$set"; done
  for partition in $partitions; do
    score=
    [ "$partition" != global ] || score=aligner.score=global
    for seed in $seeds; do
      case $set in
        combined-*) set -- --set "dataset.root=$data/combined" --set "dataset.split.name=${set#combined-}_seed0" "$@" ;;
        msr-action3d) set -- --set "dataset.root=$data/msr_action3d/raw" "$@" ;;
      esac
      echo "$set $partition seed $seed" >&2
      # One process, so that the models are read and their features computed once for all adapters.
      (
        cd "$out/configs/$set"
        # shellcheck disable=SC2046
        "$szar" run $(for adapter in $adapters; do echo "$adapter.yaml"; done) --quiet --set "seed=$seed" \
          --set "aligner.partition=$partition" ${score:+--set "$score"} --set "output=$out/runs" "$@" >/dev/null
      ) || failed="$failed $set/$partition/$seed"
      case $set in
        combined-*) shift 4 ;;
        msr-action3d) shift 2 ;;
      esac
    done
  done
done

by=dataset,split,aligner.partition,name
"$szar" table "$out/runs" --by "$by" --csv >"$out/table.csv"
"$szar" table "$out/runs" --by "$by" | tee "$out/table.md"
if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
