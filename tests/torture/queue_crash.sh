#!/bin/sh
# queue_crash: crashes, power cuts, failing disks and damaged files against the
# queue's programs, by the scenarios *.scn beside this file.
#
#   queue_crash.sh [scenario ...]      samples, seed after seed, for TIME
#   queue_crash.sh all [scenario ...]  everything once: an hour or more
#   queue_crash.sh build               the tools only, into build/torture
#
# Environment: DSUTILS_BIN the programs (build/bin), TIME seconds (300), SEED
# the first (1), JOBS processes (2), CC, KEEP a directory for what failed
# (build/torture/failed).  Exit status: 0 all good, 1 not, 64 and more: broken.
set -u
cd "$(dirname "$0")/../.." || exit 71

: "${DSUTILS_BIN:=build/bin}" "${TIME:=300}" "${SEED:=1}" "${JOBS:=2}"
: "${CC:=cc}" "${KEEP:=build/torture/failed}"
src=tests/torture
out=build/torture

build() {
	mkdir -p "$out/toy" || exit 73
	if [ -e "$out/done" ] &&
	    [ -z "$(find "$src" -name '*.[ch]' -newer "$out/done")" ]; then
		return
	fi
	set -- -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Ilib
	$CC "$@" -fPIC -shared -o "$out/crashshim.so" "$src/crashshim.c" \
	    -pthread &&
	$CC "$@" -o "$out/toy/qpush" "$src/toyqueue.c" || exit 70
	for prog in qpop qdepth qctl; do
		ln -sf qpush "$out/toy/$prog" || exit 70
	done
	for prog in powercut bitflip; do
		$CC "$@" -o "$out/$prog" "$src/$prog.c" "$src/oracle.c" \
		    "$src/scenario.c" "$src/trial.c" "$src/run.c" \
		    "$src/tree.c" "$src/cutmodel.c" || exit 70
	done
	touch "$out/done"
}

try() {
	echo "# $*"
	"$@" || failed=1
}

# One scenario: how many states of a cut, kills, failures, damages of each
# kind (0: all), and the distance of the kills whose outcome is cut as well.
run() {
	scn=$1 cuts=$2 kills=$3 fails=$4 flips=$5 step=$6
	set -- -b "$DSUTILS_BIN" -j "$JOBS" -s "$SEED" \
	    -k "$KEEP/$(basename "$scn" .scn)"
	try "$out/powercut" "$@" -n "$cuts" cut "$scn"
	try "$out/powercut" "$@" -n "$kills" kill "$scn"
	try "$out/powercut" "$@" -n "$fails" fail "$scn"
	for damage in flip trim grow gone; do
		try "$out/bitflip" "$@" -n "$flips" $damage "$scn"
	done
	n=$((1 + SEED % step))
	while [ "$n" -lt 200 ]; do
		try "$out/powercut" "$@" -n $((cuts / 20 + 20)) -K "$n" cut \
		    "$scn"
		n=$((n + step))
	done
}

what=sample
case ${1-} in
build | all)
	what=$1
	shift
	;;
-*)
	echo "usage: queue_crash.sh [build | all] [scenario ...]" >&2
	exit 64
	;;
esac
build
[ "$what" != build ] || exit 0
mkdir -p "$KEEP" || exit 73
[ $# -gt 0 ] || set -- "$src"/*.scn

failed=0
if [ "$what" = all ]; then
	for scn; do
		run "$scn" 10000 0 0 0 5
	done
	exit "$failed"
fi
end=$(($(date +%s) + TIME))
while [ "$(date +%s)" -lt "$end" ]; do
	for scn; do
		[ "$(date +%s)" -lt "$end" ] || break
		echo "# seed $SEED"
		run "$scn" 400 60 8 200 67
	done
	SEED=$((SEED + 1))
done
exit "$failed"
