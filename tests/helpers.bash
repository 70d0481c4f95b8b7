# shellcheck shell=bash disable=SC2154	# bats sets status, output, stderr
# helpers: what every .bats file loads, right after its version line:
#
#	bats_require_minimum_version 1.8.0
#	load helpers
#
# It brings setup and teardown; a file with its own calls setup_test first in
# the one and teardown_test last in the other.  A test begins in a directory
# of its own, with the programs first in PATH and LC_ALL=C.
#
#	run [-N] cmd ...	bats' run with stderr apart, logged: $status,
#				$output, $stderr; with -N that status is required
#	assert_eq got want [what]
#	assert_match got regex [what]
#	assert_file file want [what]	the file holds these bytes, then a newline
#	spawn cmd ...		begin in the background; $spawned is its pid, its
#				streams are files $spawn_out and $spawn_err
#	spawn_ready cmd ...	the same, then wait for its line "ready"
#	wait_until secs cmd ...	until it succeeds; 1 when time is up, or at once
#				when $watch, a pid, is dead
#	wait_status want [pid]	the process (default $spawned) ends with this
#	stop pid		TERM, then KILL, then wait
#	nap			20 ms: only inside loops with a limit
#	sanitized		is this a build with a sanitizer?

poll=0.02			# seconds between two looks

setup_test() {
	local root
	root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	export DSUTILS_BIN=${DSUTILS_BIN:-$root/build/bin}
	export PATH=$DSUTILS_BIN:$PATH LC_ALL=C
	unset DSUTILS_FAULT PARTSIM_NET NOTIFY_SOCKET

	cd "$BATS_TEST_TMPDIR" || return
	spawned='' spawn_out='' spawn_err='' watch=''
	spawn_pids=()

	# Whatever a test starts inherits this; teardown looks for it.
	export DSUTILS_TEST=$BATS_SUITE_TEST_NUMBER.$$.$RANDOM
	san_log=$BATS_TEST_TMPDIR/sanitizer
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:log_path=$san_log
	export UBSAN_OPTIONS=${UBSAN_OPTIONS-}:log_path=$san_log
	export TSAN_OPTIONS=${TSAN_OPTIONS-}:log_path=$san_log
}

teardown_test() {
	local pid file failed=0

	for pid in "${spawn_pids[@]}"; do
		stop "$pid"
	done
	if ! wait_until 2 no_leftovers; then
		for pid in $(leftovers); do
			echo "still running: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
			kill -KILL "$pid" || :
			failed=1
		done
	fi
	for file in "$san_log".*; do
		[ -e "$file" ] || continue
		echo "sanitizer: $file"
		cat "$file"
		failed=1
	done
	return "$failed"
}

setup() { setup_test; }
teardown() { teardown_test; }

# --- running and comparing -------------------------------------------------

# bats' own run under another name.
eval "bats_$(declare -f run)"

run() {
	local rc=0 arg words=''
	for arg; do
		words+=" $(printf '%q' "$arg")"
	done
	bats_run --separate-stderr "$@" || rc=$?
	printf '$%s\n' "$words"
	[ -z "$output" ] || printf '%.4000s\n' "$output"
	[ -z "$stderr" ] || printf '%.4000s\n' "$stderr" | sed 's/^/2> /'
	printf '[status %s]\n' "$status"
	return "$rc"
}

assert_eq() {
	[ "$1" = "$2" ] && return
	printf '%s differs\n   got: %q\n  want: %q\n' "${3:-value}" "$1" "$2"
	return 1
}

assert_match() {
	[[ $1 =~ $2 ]] && return
	printf '%s does not match\n   got: %q\n regex: %s\n' "${3:-value}" \
	    "$1" "$2"
	return 1
}

assert_file() {
	printf '%s\n' "$2" | cmp - "$1" && return
	printf '%s differs\n   got: %q\n  want: %q\n' "${3:-$1}" \
	    "$(head -c 4000 "$1")" "$2"
	return 1
}

sanitized() {
	case $DSUTILS_BIN in
	*/asan | */tsan) return 0 ;;
	*) return 1 ;;
	esac
}

# --- waiting ---------------------------------------------------------------

now_us() { printf '%s' "${EPOCHREALTIME/./}"; }

nap() { sleep "$poll"; }

alive() {
	local state
	# A zombie has ended, even if nobody has waited for it yet.
	state=$(sed -E 's/.*\) (.).*/\1/' "/proc/$1/stat" 2>/dev/null) || return
	[ -n "$state" ] && [ "$state" != Z ]
}

dead() { ! alive "$1"; }

wait_until() {
	local secs=$1 limit
	shift
	limit=$(($(now_us) + secs * 1000000))
	until "$@"; do
		if [ -n "${watch-}" ] && dead "$watch"; then
			"$@" && return	# it may have done it and ended
			printf 'waited for: %s; but %s is dead\n' "$*" "$watch"
			return 1
		fi
		if [ "$(now_us)" -ge "$limit" ]; then
			printf 'waited %s s for: %s\n' "$secs" "$*"
			return 1
		fi
		nap
	done
}

# --- processes -------------------------------------------------------------

spawn() {
	local n=${#spawn_pids[@]}
	spawn_out=$BATS_TEST_TMPDIR/spawn.$n.out
	spawn_err=$BATS_TEST_TMPDIR/spawn.$n.err
	"$@" <&0 >"$spawn_out" 2>"$spawn_err" 3>&- &
	spawned=$!
	spawn_pids+=("$spawned")
	printf '$ %s & [pid %s]\n' "$*" "$spawned"
}

spawn_ready() {
	local watch
	spawn "$@"
	watch=$spawned
	wait_until 10 grep -qsx ready "$spawn_out" && return
	cat "$spawn_out" "$spawn_err"
	return 1
}

wait_status() {
	local want=$1 pid=${2:-$spawned} rc=0 watch=''
	wait_until 10 dead "$pid" || return
	wait "$pid" || rc=$?
	assert_eq "$rc" "$want" "status of pid $pid"
}

stop() {
	local watch=''
	if alive "$1"; then
		kill -CONT "$1" 2>/dev/null || :
		kill -TERM "$1" 2>/dev/null || :
		wait_until 2 dead "$1" || kill -KILL "$1" 2>/dev/null || :
	fi
	wait "$1" 2>/dev/null || :
}

# Processes of this test that still run; the shell of bats itself was started
# before the mark was made and does not bear it.
leftovers() {
	local file pid
	for file in $(env -u DSUTILS_TEST grep -lsz "^DSUTILS_TEST=$DSUTILS_TEST\$" \
	    /proc/[0-9]*/environ); do
		pid=${file#/proc/}
		pid=${pid%/environ}
		if alive "$pid"; then
			printf '%s\n' "$pid"
		fi
	done
}

no_leftovers() { [ -z "$(leftovers)" ]; }
