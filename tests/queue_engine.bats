#!/usr/bin/env bats
# queue_engine: what must hold of a queue whichever program uses it; the
# programs' own files test the rest.
bats_require_minimum_version 1.8.0

load helpers

setup() {
	setup_test
	load queue
}

teardown() {
	teardown_test
}

@test "queue: an id outlives the segment its message was in" {
	run -0 qpush -i A q one
	run -0 qpop q
	run -0 qctl compact q
	run -0 qpush -i A q one
	run -0 qdepth q
	assert_eq "$output" 0
	# And the index it was known to.
	run -0 qctl repair q
	run -0 qpush -i A q one
	run -0 qdepth q
	assert_eq "$output" 0
}

@test "queue: -m that cannot sync does not keep the key" {
	qpush -k K q one two
	DSUTILS_FAULT=sync:1+:EIO run -74 qpop -m q
	run -0 qpop -m -n 2 q
	assert_eq "$output" $'one\ntwo'
	qpush -k K q three four
	DSUTILS_FAULT=sync:1+:EIO run -74 qpop -m q true
	run -0 qpop -m -n 2 q
	assert_eq "$output" $'three\nfour'
}

half_made() { compgen -G 'q/log/.c*' >/dev/null; }

@test "queue: a reset beside a compaction begins where it says" {
	seq 1 1000 | qpush q
	run -0 qpop -n 800 q
	# Slow between the copy and its use.
	traced -f -o trace -e trace=fdatasync \
	    -e inject=fdatasync:delay_enter=500000 qctl compact q &
	compact=$!
	wait_until 20 half_made
	run -0 qctl group reset q main from=oldest
	first=$output
	wait "$compact"
	run -0 qpop -a q
	assert_eq "${#lines[@]}" "$((1000 - first))"
	run -0 qctl verify q
}

@test "queue: space given back by who was killed then is room" {
	qctl create q max-bytes=512k retain=1h
	for _ in 1 2 3 4 5 6 7 8; do
		seq -f "%02000.0f" 25 | qpush q
	done
	qpop -a q >all
	qctl set q retain=0
	DSUTILS_FAULT=unlink:5:kill run -137 qctl compact q
	seq -f "%02000.0f" 120 | run -0 qpush -W 0 q
	run -0 qdepth q
	assert_eq "$output" 120
}

# No system call stands there at which to be killed.
@test "queue: a qctl killed between journal and index has done it" {
	local step
	command -v gdb >/dev/null || skip 'needs gdb'
	for step in continue finish; do
		qpush "$step" one
		ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 run gdb -nx -batch \
		    -ex 'break control_mirror' -ex run \
		    -ex "${step/continue/info program}" -ex kill \
		    --args qctl set "$step" closed=yes
		[[ $output == *killed* ]] || skip 'gdb cannot trace here'
		run -0 qctl info "$step"
		assert_match "$output" $'closed\tyes'
		run -75 qpush "$step" two
	done
}

@test "queue: a half-made checkpoint is swept by the next" {
	qpush q one
	DSUTILS_FAULT=rename:1:kill run -137 qctl set q tries=3
	compgen -G 'q/state/.tmp-*'
	run -0 qctl set q tries=4
	run ! compgen -G 'q/state/.tmp-*'
}

@test "queue: qctl rm that was killed can be run again" {
	qpush q one
	DSUTILS_FAULT=unlink:1:kill run -137 qctl rm q
	run -65 qpush q two
	run -0 qctl rm q
	run ! test -e q
	mkdir -p other/log
	run ! qctl rm other
	test -d other/log
}

@test "queue: what killed creators left does not keep the directory" {
	DSUTILS_FAULT=rename:1:kill run -137 qctl create q
	run -0 qctl create q
	run -0 qctl rm q
	run ! test -e q
}
