#!/usr/bin/env bash
# tap.sh TEST: run one test file so that prove(1) can read it: a .bats file
# through bats, anything else as it is.

set -eu

# A test that hangs is a failure; a busy machine is not.
export BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-120}

# What a sanitizer finds kills the program: with a report in $SAN_LOG.* under
# bats (helpers.bash looks there), on stderr otherwise.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}

run=()
case ${DSUTILS_BIN-} in
*/tsan)	# gcc's runtime cannot place itself when the kernel randomises a lot
	run=(setarch "$(uname -m)" -R) ;;
esac

case $1 in
*.bats)	exec "${run[@]}" bats --tap ${BATS_FILTER:+--filter "$BATS_FILTER"} "$1" ;;
*)	exec "${run[@]}" "$1" ;;
esac
