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
