#!/usr/bin/env bats
# shellcheck disable=SC2154	# bats sets status, output, stderr

bats_require_minimum_version 1.8.0
load helpers
load queue

# The value of a row of the table: value what [group]
value() {
	qdepth -a q | awk -v what="$1" -v group="${2-}" \
	    '$1 == what && $3 == group { print $2 }'
}

state_is() { [ "$(qdepth -S "$1" q)" = "$2" ]; }

depth_is() { [ "$(qdepth "$1" 2>/dev/null)" = "$2" ]; }

# A command that holds its message until somebody writes to the FIFO `go`.
holder() {
	mkfifo go
	spawn qpop q sh -c 'cat go'
}

# --- the number --------------------------------------------------------------------

@test "qdepth: one integer" {
	qpush q a b c
	run -0 qdepth q
	assert_eq "$output" 3
	assert_eq "$stderr" ''
	qpop q
	assert_eq "$(qdepth q)" 2
	qpop -a q
	assert_eq "$(qdepth q)" 0
}

@test "qdepth: several queues, and one that is missing" {
	qpush one a
	qpush two a b
	run -0 qdepth one two
	assert_eq "$output" $'1\tone\n2\ttwo'
	run -66 qdepth one none two
	assert_eq "$output" $'1\tone\n2\ttwo'
	assert_eq "$stderr" 'qdepth: none: no such queue'
	run -66 qdepth none
	assert_eq "$output" ''
}

@test "qdepth: ready, in flight and delayed count, the dead do not" {
	qpush -k k q held behind
	qpush q free
	qpush -D 1h q later
	holder
	wait_until 5 state_is in-flight 1
	assert_eq "$(qdepth q)" 4
	assert_eq "$(qdepth -S ready q)" 2
	assert_eq "$(qdepth --state delayed q)" 1
	assert_eq "$(qdepth -S dead q)" 0
	echo go >go
	wait_status 0
	assert_eq "$(qdepth q)" 3
	run qpop -a -r 1 q sh -c 'exit 100'
	assert_eq "$(qdepth q)" 1
	assert_eq "$(qdepth -S dead q)" 2
	run -64 qdepth -S sleeping q
}

@test "qdepth: -g and --group" {
	qctl create q groups=a,b
	qpush q 1 2 3
	qpop -g a -n 2 q >/dev/null
	assert_eq "$(qdepth q)" 3
	assert_eq "$(qdepth -g a q)" 1
	assert_eq "$(qdepth --group b q)" 3
	assert_eq "$(qdepth -S ready -g a q)" 1
	# Once for each group that has it so.
	assert_eq "$(qdepth -S ready q)" 4
	qpop -g b -n 1 q >/dev/null
	assert_eq "$(qdepth q)" 2
	run -66 qdepth -g none q
	assert_match "$stderr" 'q: no such group: none'
}

@test "qdepth: -x and --max" {
	qpush q a b
	run -0 qdepth -x 2 q
	assert_eq "$output" 2
	run -1 qdepth -x 1 q
	assert_eq "$output" 2
	run -1 qdepth --max 0 q
	qpush two a b c
	run -1 qdepth -x 2 q two
	assert_eq "$output" $'2\tq\n3\ttwo'
	run -0 qdepth -x 3 q two
	# What is printed is compared.
	run -0 qdepth -S in-flight -x 0 q
	run -64 qdepth -x -1 q
	run -64 qdepth -x many q
	# What cannot be looked at is worse.
	run -66 qdepth -x 1 q none
}

older() { ! qdepth -A "$1" q >/dev/null; }

@test "qdepth: -A and --age" {
	qpush q a
	run -0 qdepth -A 1h q
	assert_eq "$output" 1
	wait_until 5 older 100ms
	run -1 qdepth --age 100ms q
	assert_eq "$output" 1
	qpop q
	run -0 qdepth -A 0 q
	run -64 qdepth -A x q
	qpush -J q '{"payload":"old","ts":"2001-01-01T00:00:00Z"}'
	run -1 qdepth -A 1d q
}

# --- forms -------------------------------------------------------------------------------

@test "qdepth: -a and --all" {
	qpush -k k q held behind
	qpush q free free
	qpush -D 1h q later
	holder
	wait_until 5 state_is in-flight 1
	qpop q			# passes the one that is blocked
	run -0 qdepth --all q
	for what in depth in out drain consumers waiting live disk ready \
	    in-flight delayed dead blocked oldest; do
		assert_match "$output" "(^|
)$what +[^ ]" "$what"
	done
	# It fits the terminal.
	run awk 'length($0) > 79' <<<"$output"
	assert_eq "$output" ''
	assert_eq "$(value depth)" 4
	assert_eq "$(value ready main)" 2
	assert_eq "$(value in-flight main)" 1
	assert_eq "$(value delayed main)" 1
	assert_eq "$(value dead main)" 0
	assert_eq "$(value blocked main)" 1
	assert_eq "$(value consumers)" 1
	assert_eq "$(value waiting)" 0
	assert_eq "$(value drain)" never
	assert_match "$(value oldest main)" '^[0-9.]+(us|ms|s)$'
	assert_match "$(value in)" '^[0-9.]+/s$'
	assert_match "$(value live)" '^[0-9.]+[kM]?$'
	echo go >go
	wait_status 0
}

@test "qdepth: -a of several queues and groups" {
	qctl create q groups=a,b
	qpush q 1
	qpush two 1 2
	run -0 qdepth -a q two
	assert_eq "$(grep -c '^queue ' <<<"$output")" 2
	assert_eq "$(grep -c '^ready ' <<<"$output")" 3
	assert_eq "$(qdepth -a -g b q | grep -c '^ready ')" 1
	qpop -g b q
	assert_eq "$(qdepth -a -g b q | awk '$1 == "depth" { print $2 }')" 0
	assert_eq "$(value depth)" 1
	run -66 qdepth -a q none
	assert_match "$output" 'depth'
}

@test "qdepth: an empty queue drains at once, rates are seen" {
	seq 6000 | qpush q
	qpop -a q >/dev/null
	assert_eq "$(value drain)" 0s
	assert_eq "$(value oldest main)" -
	wait_until 5 eval '[ "$(qdepth -J q | jq ".in_rate > 10")" = true ]'
	assert_eq "$(qdepth -J q | jq '.out_rate > 10')" true
}

@test "qdepth: -J and --json" {
	qctl create q groups=a,b
	qpush q 1 2
	qpop -g a q
	run -0 qdepth -J q
	for want in '.queue == "q"' '.depth == 2' '.dead == 0' '.pushed == 2' \
	    '.finished == 0' '.damaged == 0' '.consumers == 0' \
	    '.producers_waiting == 0' '.live_bytes > 0' '.disk_bytes > 0' \
	    '.oldest_seconds >= 0' '.in_rate >= 0' '.out_rate >= 0' \
	    '.drain_seconds == null' '(.durable | type) == "boolean"' \
	    '.groups[0].group == "a"' '.groups[0].depth == 1' \
	    '.groups[0].ready == 1' '.groups[0].in_flight == 0' \
	    '.groups[0].delayed == 0' '.groups[0].dead == 0' \
	    '.groups[0].blocked_keys == 0' '.groups[1].group == "b"' \
	    '.groups[1].oldest_seconds >= 0'; do
		jq -e "$want" <<<"$output" >/dev/null || {
			echo "not so: $want"
			return 1
		}
	done
	qpush two 1
	assert_eq "$(qdepth --json q two | wc -l)" 2
	assert_eq "$(qdepth -J -g b q | jq -r '.groups[].group')" b
	assert_eq "$(qdepth -J -g a q | jq .depth)" 1
}

@test "qdepth: -o prom and --output" {
	qpush 'a"b\c' 1 2
	qpush two 1
	run -0 qdepth -o prom 'a"b\c' two
	cat >want <<-'END'
	queue_depth{queue="a\"b\\c"} 2
	queue_depth{queue="two"} 1
	queue_messages{queue="two",group="main",state="ready"} 1
	queue_messages{queue="two",group="main",state="in_flight"} 0
	queue_pushed_total{queue="a\"b\\c"} 2
	queue_finished_total{queue="two"} 0
	queue_drain_seconds{queue="two"} -1
	queue_consumers{queue="two"} 0
	queue_producers_waiting{queue="two"} 0
	queue_blocked_keys{queue="two",group="main"} 0
	queue_damaged_messages{queue="two"} 0
	END
	while IFS= read -r line; do
		grep -qxF "$line" <<<"$output" || {
			echo "missing: $line"
			return 1
		}
	done <want
	# A name is explained once, right before its samples, and all are
	# numbers.
	awk '/^# HELP/ { if (help[$3]++) exit 1; name = $3; next }
	    /^# TYPE/ { if ($3 != name) exit 1; next }
	    { if (index($0, name "{") != 1 || $NF !~ /^-?[0-9.e+-]+$/) exit 1 }' \
	    <<<"$output"
	age='/^queue_oldest_/d'
	assert_eq "$(qdepth --output prom two | sed "$age")" \
	    "$(qdepth -o prom two | sed "$age")"
	run -64 qdepth -o xml two
}

# --- following --------------------------------------------------------------------------------

@test "qdepth: -f and --follow print once a second, and end when it is removed" {
	qpush q a
	spawn qdepth -f q
	wait_until 10 eval '[ "$(grep -cx 1 "$spawn_out")" -ge 2 ]'
	qpush q b
	wait_until 10 grep -qx 2 "$spawn_out"
	# Nothing is drawn.
	run grep -c $'\033' "$spawn_out"
	assert_eq "$output" 0
	qctl rm q
	wait_status 66
	assert_match "$(<"$spawn_err")" 'q: no such queue'
	run -66 qdepth --follow q
}

@test "qdepth: -f ends when -x is passed" {
	qpush q a
	spawn qdepth -f -x 2 q
	wait_until 10 grep -qx 1 "$spawn_out"
	qpush q b c
	wait_status 1
	assert_eq "$(tail -n 1 "$spawn_out")" 3
}

@test "qdepth: -f draws curves on a terminal" {
	seq 300 | qpush q
	qpush -D 1h q later
	spawn script -qec 'stty cols 80; exec qdepth -f q' /dev/null
	wait_until 10 eval '[ "$(grep -c "depth  *301  .*[#]" "$spawn_out")" -ge 2 ]'
	assert_match "$(<"$spawn_out")" 'q: drained in: never, consumers: 0'
	assert_match "$(<"$spawn_out")" 'main: 300 ready, 0 in flight, 1 delayed'
	assert_match "$(<"$spawn_out")" $'\033\\[5A' 'goes up over the last picture'
	# No line is longer than the terminal is wide.
	run awk '{ gsub(/\033\[[0-9]*[A-Z]/, ""); gsub(/\r/, "") }
	    length($0) > 80 { print; exit 1 }' "$spawn_out"
	assert_eq "$status" 0
	qctl rm q
	wait_status 66
	qpush q a
	LC_ALL=C.UTF-8 spawn script -qec 'exec qdepth -f q' /dev/null
	wait_until 10 grep -q 'depth .*█' "$spawn_out"
	qctl rm q
	wait_status 66
}

# --- cost and permission -------------------------------------------------------------------------

@test "qdepth: the number costs the same at any depth" {
	qpush q a
	traced -c -o few qdepth q
	seq 200000 | qpush q
	traced -c -o many qdepth q
	calls() { awk '$NF == "total" { print $4 }' "$1"; }
	echo "system calls: $(calls few), $(calls many)"
	[ "$(calls many)" -le $(($(calls few) + 10)) ]
	assert_eq "$(qdepth q)" 200001
}

@test "qdepth: permission to read is enough for the number, else 77" {
	need_nobody
	qctl create q mode=644
	qpush q a b
	assert_eq "$(as_nobody qdepth "$PWD/q")" 2
	run -77 as_nobody qdepth -J "$PWD/q"
	run -77 as_nobody qdepth -S ready "$PWD/q"
	qpush private a
	run -77 as_nobody qdepth "$PWD/private"
}

@test "qdepth: not a queue 65, a server's address 78" {
	echo text >file
	run -65 qdepth file
	assert_eq "$stderr" 'qdepth: file: not a queue'
	mkdir dir
	run -66 qdepth dir	# a queue yet to be
	touch dir/file
	run -65 qdepth dir
	# A queue may still be made there.
	run -66 qdepth empty
	run -78 qdepth nats://localhost/q
	assert_match "$stderr" 'knows no nats://'
}

@test "qdepth: a full output answers 74" {
	qpush q a
	run -74 eval 'qdepth q >/dev/full'
}

@test "qdepth: usage" {
	run -64 qdepth
	assert_match "$stderr" '^usage: qdepth '
	run -64 qdepth --nonsense q
	run -64 qdepth -a -J q
	run -64 qdepth -J -o prom q
	run -0 qdepth -h
	assert_match "$output" '^usage: qdepth '
	run -0 qdepth --help
	run -0 qdepth -V
	assert_match "$output" '^qdepth [0-9]'
	run -0 qdepth --version
}

@test "qdepth: a lock that is not given back is named, with -q it is not" {
	qpush q a
	hold_lock 0 q
	# The number takes no lock.
	assert_eq "$(qdepth q)" 1
	spawn qdepth -q -S ready q
	local quiet=$spawned quiet_err=$spawn_err
	spawn qdepth --quiet -S ready q
	local quiet2=$spawned quiet2_err=$spawn_err
	spawn qdepth -S ready q
	watch=$spawned wait_until 10 grep -qs 'holds' "$spawn_err"
	assert_match "$(<"$spawn_err")" '^qdepth: q: process [0-9]+ holds .*; waiting'
	stop "$holder_pid"
	wait_status 0
	wait_status 0 "$quiet"
	wait_status 0 "$quiet2"
	assert_eq "$(<"$spawn_out")" 1
	assert_eq "$(cat "$quiet_err" "$quiet2_err")" ''
}

@test "qdepth: a queue of a newer version answers 78, no descriptors 71" {
	qpush q a
	# The leak checker spins without descriptors.
	sanitized || run -71 sh -c 'ulimit -n 6; exec qdepth q'
	newer_version q
	run -78 qdepth q
	assert_match "$stderr" 'q: made by a newer version'
}

@test "qdepth: examples of the page" {
	qpush jobs a b
	[ "$(qdepth jobs)" -gt 0 ] && echo yes >answer
	assert_file answer yes
	qdepth -x 1 -A 5m jobs >depth || echo more >answer
	assert_file answer more
	assert_file depth 2
	assert_match "$(qdepth -a jobs |
	    awk '$1 == "oldest" && $3 == "main" { print $2 }')" '^[0-9]'
	assert_eq "$(qdepth -J jobs | jq .groups[0].in_flight)" 0
	mkdir spool
	qpush spool/one a
	qpush spool/two a b
	assert_eq "$(qdepth spool/* | sort -rn)" \
	    $'2\tspool/two\n1\tspool/one'
	qdepth -o prom jobs >queues.tmp && mv queues.tmp queues.prom
	grep -qxF 'queue_depth{queue="jobs"} 2' queues.prom
	sh -c 'qdepth -f -x 1 jobs >depths; echo "too deep"' >answer
	assert_file answer 'too deep'
	assert_file depths 2
}
