#!/bin/sh
# How well aligners do on the features of each encoder, before and after skeleton-cache: zero-shot and generalised.
#
#   configs/studies/encoders.sh DATA OUTPUT
#
# DATA    folder with combined/, semantics/ and splits.json
# OUTPUT  folder for the runs, their configurations, table.md and table.csv
#
# A study that was stopped goes on where it was; what is finished is not run again, and all aligners share an encoder and
# its features. Parts of it, by the environment:
#   SETS="quickstart" SEEDS="0 1" ENCODERS="ctr-gcn dgnn" ALIGNERS="eszsl star" configs/studies/encoders.sh ...
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
sets=${SETS:-combined-58_10 quickstart}
seeds=${SEEDS:-0 1 2}
all=$(cd "$root/configs/encoders" && for file in *.yaml; do echo "${file%.yaml}"; done)
encoders=${ENCODERS:-$all}
aligners=${ALIGNERS:-eszsl sa-dvae purls-static star}

# The configuration of encoder $1 with aligner $2 on set $3.
write() {
  case $3 in
    combined-*) base=combined ;;
    quickstart) base=quickstart ;;
    *) echo "unknown set $3; known: combined-58_10 combined-48_20 quickstart" >&2; exit 2 ;;
  esac
  mkdir -p "$out/configs/$3"
  {
    printf 'base: "%s"\nname: %s-%s\nadapters: [{type: skeleton-cache}]\n' "$root/configs/$base.yaml" "$1" "$2"
    sed -n '/^encoder:/,$p' "$root/configs/encoders/$1.yaml"
    sed -n '/^\(aligner\|semantics\):/,$p' "$root/configs/aligners/$2.yaml"
  } >"$out/configs/$3/$1-$2.yaml"
}

# Asked to stop, the run in progress keeps what it reached; the rest waits for the next call.
trap 'exit 130' INT TERM
failed=
for set in $sets; do
  for encoder in $encoders; do
    for aligner in $aligners; do write "$encoder" "$aligner" "$set"; done
    for seed in $seeds; do
      echo "$set $encoder seed $seed" >&2
      (
        case $set in
          combined-*)
            set -- --set "dataset.root=$data/combined" --set "dataset.split.name=${set#combined-}_seed0" "$@"
            ;;
        esac
        cd "$out/configs/$set"
        # shellcheck disable=SC2046
        "$szar" run $(for aligner in $aligners; do echo "$encoder-$aligner.yaml"; done) --quiet \
          --set "seed=$seed" --set "output=$out/runs" "$@" >/dev/null
      ) || failed="$failed $set/$encoder/$seed"
    done
  done
done

by=dataset,split,name
"$szar" table "$out/runs" --by "$by" --csv >"$out/table.csv"
"$szar" table "$out/runs" --by "$by" | tee "$out/table.md"
if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
