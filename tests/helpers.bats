#!/usr/bin/env bats
# The helpers themselves: a test bench that cannot fail proves nothing.

bats_require_minimum_version 1.8.0
load helpers

# Run one test, given as text, in a bats of its own; $HERE is our directory.
inner() {
	mkdir -p inner
	cp "$BATS_TEST_DIRNAME/helpers.bash" inner/
	{
		printf '%s\n' 'bats_require_minimum_version 1.8.0' 'load helpers'
		printf '@test "inner" {\n%s\n}\n' "$1"
	} >inner/inner.bats
	env -u BATS_TEST_TIMEOUT HERE="$PWD" DSUTILS_BIN="$DSUTILS_BIN" \
	    "$DSUTILS_BATS" --tap inner/inner.bats
}

setup() {
	# bats puts its own libexec first in PATH; a child needs the command.
	DSUTILS_BATS=$BATS_ROOT/bin/bats
	setup_test
}

@test "helpers: run keeps the streams apart and logs both" {
	run -3 bash -c 'echo out; echo err >&2; exit 3'
	assert_eq "$output" out
	assert_eq "$stderr" err
	assert_eq "$status" 3
}

@test "helpers: run -N fails the test on another status, and shows it" {
	run -1 inner 'run -0 bash -c "echo seen; exit 4"'
	assert_match "$output" '^1..1
not ok 1 inner'
	assert_match "$output" 'seen'
	assert_match "$output" '\[status 4\]'
}

@test "helpers: assert_eq passes on equal, fails with both sides shown" {
	assert_eq 'a b' 'a b'
	run -1 assert_eq 'a b' 'a  b' 'the thing'
	assert_match "$output" 'the thing differs'
	assert_match "$output" 'got: a\\ b'
}

@test "helpers: a failing assert_eq fails the test it is in" {
	run -1 inner 'assert_eq 1 2; true'
	assert_match "$output" 'not ok 1 inner'
}

@test "helpers: assert_match and assert_file" {
	assert_match abc '^a.c$'
	run -1 assert_match abc '^b'
	printf 'x\ny\n' >f
	assert_file f $'x\ny'
	run -1 assert_file f x
}

@test "helpers: wait_until returns as soon as the command succeeds" {
	local begin end
	spawn bash -c 'read -rt 0.2 <> <(:); touch there'
	begin=$(now_us)
	wait_until 10 test -e there
	end=$(now_us)
	[ $((end - begin)) -lt 5000000 ]
}

@test "helpers: wait_until gives up, saying what it waited for" {
	local begin end
	begin=$(now_us)
	run -1 wait_until 1 test -e nowhere
	end=$(now_us)
	assert_match "$output" 'waited 1 s for: test -e nowhere'
	[ $((end - begin)) -ge 1000000 ]
	[ $((end - begin)) -lt 5000000 ]
}

@test "helpers: wait_until stops early when the watched process is dead" {
	local begin end
	spawn true
	# shellcheck disable=SC2034
	watch=$spawned
	begin=$(now_us)
	run -1 wait_until 20 test -e nowhere
	end=$(now_us)
	assert_match "$output" 'is dead'
	[ $((end - begin)) -lt 10000000 ]
}

@test "helpers: spawn_ready waits for the line ready" {
	spawn_ready bash -c 'read -rt 0.1 <> <(:); echo ready; exec cat' </dev/zero
	alive "$spawned"
	stop "$spawned"
	dead "$spawned"
}

@test "helpers: spawn_ready fails when the service dies first" {
	run -1 spawn_ready bash -c 'echo no such thing >&2; exit 1'
	assert_match "$output" 'no such thing'
}

@test "helpers: wait_status sees how a process ended" {
	spawn bash -c 'exit 7'
	wait_status 7
	# shellcheck disable=SC2016
	spawn bash -c 'kill -TERM $$'
	wait_status 143
}

@test "helpers: teardown ends what the test spawned" {
	run -0 inner 'spawn sleep 1000; echo "$spawned" >"$HERE/pid"'
	dead "$(cat pid)"
}

@test "helpers: a leaked process fails the test and is ended" {
	run -1 inner '( sleep 1000 3>&- >/dev/null 2>&1 & echo $! >"$HERE/pid" )'
	assert_match "$output" 'still running: [0-9]+ sleep 1000'
	wait_until 2 dead "$(cat pid)"
}

@test "helpers: a sanitizer's report fails the test" {
	run -1 inner 'echo "ERROR: report" >"$san_log.1"'
	assert_match "$output" 'ERROR: report'
}

@test "helpers: a test that hangs is ended by its time limit" {
	run -1 bash -c 'cd "$1"; mkdir -p hang; printf "%s\n" \
	    "@test hang { read -r <> <(:); }" >hang/h.bats
	    BATS_TEST_TIMEOUT=1 "$2" --tap hang/h.bats' _ "$PWD" "$DSUTILS_BATS"
	assert_match "$output" 'timeout after 1s'
}
