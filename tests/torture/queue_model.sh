#!/bin/sh
# queue_model: the queue against its naive twin, by random operations, for long.
#
# Environment: DSUTILS_BIN the programs (build/bin), TIME seconds (300), SEED
# of the first round (1), STEPS of a round (1500), TMPDIR (/dev/shm: syncs cost
# nothing there, and no power is cut).  Exit status: 0 all good, 1 not.
set -u
cd "$(dirname "$0")/../.." || exit 71

: "${DSUTILS_BIN:=$PWD/build/bin}" "${TIME:=300}" "${SEED:=1}" "${STEPS:=1500}"
if [ -z "${TMPDIR-}" ] && [ -w /dev/shm ]; then
	TMPDIR=/dev/shm
	export TMPDIR
fi
export TIME SEED STEPS
variant=$(basename "$DSUTILS_BIN")
${MAKE:-make} --no-print-directory V="$variant" \
    "build/$variant/unit/queue_model_test" >&2 || exit 70
exec "build/$variant/unit/queue_model_test"
