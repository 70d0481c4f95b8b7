#!/usr/bin/env bats
# Crashes, power cuts, failing disks and damaged files: a sample of what
# tests/torture/queue_crash.sh does at length.  First that the tools find the
# mistakes planted in a toy, then the queue itself.

bats_require_minimum_version 1.8.0
load helpers

setup_file() {
	"$BATS_TEST_DIRNAME/torture/queue_crash.sh" build
}

setup() {
	setup_test
	T=$(cd "$BATS_TEST_DIRNAME/../build/torture" && pwd)
	S=$BATS_TEST_DIRNAME/torture
	if [[ $BATS_TEST_DESCRIPTION == queue:* ]]; then
		[ -x "$DSUTILS_BIN/qctl" ] || skip "qctl is not built"
		bin=$DSUTILS_BIN
	else
		bin=$T/toy
	fi
}

# cut, kill, fail, flip ... with a limit on the trials
torture() {
	local tool=powercut
	case $1 in
	flip | trim | grow | gone) tool=bitflip ;;
	*)
		# The shim and the sanitizers' runtimes both want to be first.
		! sanitized || skip "not with a sanitizer"
		;;
	esac
	run "$T/$tool" -b "$bin" -d "$PWD" -k "$PWD/failed" -m 3 -n "$2" \
	    "${@:3}" "$1" "$S/$scn.scn"
	assert_eq "$status" "$expect" "$scn $1"
}

found() {
	local scn=${4:-basic} expect=1
	export TOY_BUG=$1
	torture "$2" "$3" "${@:5}"
	assert_match "$output" BAD
}

good() {
	local scn=$3 expect=0
	torture "$1" "$2" "${@:4}"
}

@test "torture: a sound toy stands every cut, kill and failure" {
	good cut 400 basic
	good cut 200 reuse -K 13
	good kill 0 basic
	good fail 0 basic
}

@test "torture: a missing sync of a file is found" {
	found nosync cut 400
	found rename cut 400
}

@test "torture: a missing sync of a directory is found" {
	found nodir cut 400
}

@test "torture: an acknowledgement before the delivery is found" {
	found ackfirst cut 400
	found ackfirst kill 0
}

@test "torture: an acknowledgement that is not synced is found" {
	found acklate cut 400
}

@test "torture: a missing checksum is found" {
	found nocrc cut 400
}

@test "torture: bytes left by a killed writer are found" {
	found notrim kill 0 basic -H torn
}

@test "torture: a failed sync that is believed is found" {
	found syncfail fail 0 basic -H sync -E EIO
}

@test "torture: a sequence number used twice after a cut is found" {
	found seqreuse cut 400 reuse -K 13
}

@test "queue: power cuts lose nothing: streams" {
	good cut 300 basic
	good cut 200 reuse
}

@test "queue: power cuts lose nothing: segments" {
	good cut 150 segments
	good cut 150 atomic
}

@test "queue: power cuts lose nothing: commands, at most once, purge" {
	good cut 150 commands
	good cut 150 once
	good cut 100 purge
}

@test "queue: power cuts lose nothing: several at once, several boots" {
	good cut 150 together
	good cut 150 reboots
}

@test "queue: power cuts after a kill lose nothing" {
	local n
	for n in 5 17 29 41 53 65 77; do
		good cut 40 reuse -K "$n"
	done
}

@test "queue: kill -9 at any call loses nothing: streams" {
	good kill 60 basic
}

@test "queue: kill -9 at any call loses nothing: segments" {
	good kill 40 segments
}

@test "queue: kill -9 at any call loses nothing: commands" {
	good kill 40 commands
	good kill 30 once
}

@test "queue: a disk that fails or is full loses nothing" {
	good fail 5 basic
}

@test "queue: a flipped bit costs its record and no more" {
	good flip 150 basic
}

@test "queue: a file that ends early, goes on or is gone" {
	good trim 100 basic
	good grow 0 basic
	good gone 0 basic
}
