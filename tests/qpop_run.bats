#!/usr/bin/env bats
# qpop(1) with commands: real processes, every row of the table of fates.
# shellcheck disable=SC2016

bats_require_minimum_version 1.8.0
load helpers

# Commands wait in steps of ./tick.
setup() {
	setup_test
	printf '#!/bin/sh\nexec sleep 0.02\n' >tick
	chmod +x tick
}

assert_depth() { assert_eq "$(qdepth "${2-q}")" "$1" depth; }

# bats runs tests in the background, where INT is ignored.
with_signals=(env '--default-signal=INT,TERM,HUP,PIPE')

# dead MEMBER: of the only dead message.
dead_is() {
	qctl dead ls -J "${2-q}" >dead.json
	cat dead.json
	assert_eq "$(wc -l <dead.json)" 1 'dead messages'
	grep -qF "$1" dead.json
}

no_dead() { assert_eq "$(qctl dead ls q)" '' dead; }

# The attempt the next run of a command would be.
assert_attempt() {
	run -0 qpop -W 20 "${2-q}" sh -c 'echo "$Q_ATTEMPT"'
	assert_eq "$output" "$1" attempt
}

# No thread of the process is in fdatasync(2), 75 on x86-64, 83 on others.
rests() { ! grep -qE '^(75|83) ' /proc/"$1"/task/*/syscall; }

lines() { [ "$(cat -- "${@:2}" 2>/dev/null | wc -l)" -ge "$1" ]; }

# --- the table of fates ------------------------------------------------------------

@test "qpop: exit 0 acknowledges" {
	qpush q a b
	run -0 qpop -a q true
	assert_depth 0
	no_dead
	run -1 qpop q true
}

@test "qpop: other statuses count and come again, until the last try" {
	for code in 1 2 64 66 74 99 101 110 112 125 128 254; do
		qpush q a
		run -123 qpop -B 0 -r 2 q sh -c "exit $code"
		assert_depth 1
		no_dead
		run -123 qpop -B 0 -r 2 q sh -c '[ "$Q_ATTEMPT" = 2 ]; exit '$code
		assert_depth 0
		assert_match "$stderr" \
		    "exit status $code in try 2: dead \(tries\)"
		dead_is "\"tries\":2"
		dead_is "\"status\":$code"
		dead_is '"reason":"tries"'
		qctl dead rm -aq q
	done
}

@test "qpop: 75 and 111 come again, uncounted" {
	for code in 75 111; do
		qpush q a
		for i in 1 2 3; do
			run -123 qpop -B 0 -r 1 q sh -c \
			    '[ "$Q_ATTEMPT" = 1 ] && exit '$code
		done
		no_dead
		assert_attempt 1
	done
}

@test "qpop: 65 and 100 are dead at once" {
	for code in 65 100; do
		qpush q a
		run -123 qpop q sh -c "echo why >&2; exit $code"
		assert_depth 0
		dead_is '"reason":"rejected"'
		dead_is "\"status\":$code"
		dead_is '"tries":1'
		dead_is '"stderr":"why\n"'
		qctl dead rm -aq q
	done
}

@test "qpop: 126, 127 and 255 put back uncounted and stop qpop" {
	for pair in 126:126 127:127 255:124; do
		qpush q a b
		run "-${pair#*:}" qpop -a -B 0 q sh -c "exit ${pair%:*}"
		assert_depth 2
		no_dead
		run -0 qpop -a q sh -c 'read m; echo "$m $Q_ATTEMPT"'
		assert_eq "$output" $'a 1\nb 1'
	done
}

@test "qpop: a signal counts, and is told of the dead" {
	qpush q a
	run -123 qpop -B 0 -r 2 q sh -c 'kill -SEGV $$'
	assert_depth 1
	run -123 qpop -B 0 -r 2 q sh -c 'kill -KILL $$'
	assert_match "$stderr" 'killed by SIGKILL in try 2: dead'
	dead_is '"signal":9'
}

@test "qpop: -T sends TERM, which counts" {
	qpush q a
	run -123 qpop -T 50ms -B 0 -r 1 q sleep 60
	dead_is '"reason":"time limit"'
	dead_is '"signal":15'
}

@test "qpop: -T that TERM does not end sends KILL to the group" {
	qpush q a
	run -123 qpop -T 50ms -B 0 -r 1 q sh -c '
	    trap "" TERM
	    (while :; do ./tick; done) &
	    echo $! >child
	    while :; do ./tick; done'
	dead_is '"signal":9'
	wait_until 2 dead "$(cat child)"
}

@test "qpop: a command that ends in time is not bothered by -T" {
	qpush q a
	run -0 qpop -T 20 q sh -c 'trap "echo told" TERM; ./tick; echo done'
	assert_eq "$output" 'done'
}

@test "qpop: 123 if some failed, the others are acknowledged" {
	seq 4 | qpush q
	run -123 qpop -a -B 1h q sh -c 'read n; [ "$n" != 2 ]'
	assert_depth 1
}

@test "qpop: 0 if what failed was acknowledged in a later try" {
	qpush q a b
	run -0 qpop -a -B 0 q sh -c '[ "$Q_ATTEMPT" = 3 ]'
	assert_depth 0
	qpush q a
	run -123 qpop -n 1 -B 0 q sh -c '[ "$Q_ATTEMPT" = 3 ]'
}

@test "qpop: -r 0 tries for ever; options beat attributes" {
	qpush q a
	qctl set q tries=1 backoff=0
	for i in 1 2 3; do
		run -123 qpop -r 0 q sh -c "[ \$Q_ATTEMPT = $i ]; exit 1"
	done
	no_dead
	assert_depth 1
	# What was tried too often already is dead before it runs.
	run -1 qpop q touch ran
	[ ! -e ran ]
	dead_is '"tries":3'
	qpush q b
	run -123 qpop q false
	run -1 qpop -W 20ms q false
	assert_depth 0
}

@test "qpop: the backoff doubles, with jitter, up to ten minutes" {
	qpush q a
	# milliseconds of "again in 1.234s"
	again() {
		sed -n 's/.*again in \(.*\)$/\1/p' <<<"$stderr" | awk '
		    /ms$/ { print $0 + 0; next }
		    /us$/ { print ($0 + 0) / 1000; next }
		    /m$/ { print ($0 + 0) * 60000; next }
		    { print ($0 + 0) * 1000 }'
	}
	in_range() {
		echo "again in $(again) ms, want $1 to $2"
		awk -v a="$(again)" -v l="$1" -v h="$2" \
		    'BEGIN { exit !(a != "" && a >= l - 1 && a <= h) }'
	}
	run -123 qpop -v -B 20ms q false
	in_range 10 20
	run -123 qpop -v -W 20 -B 20ms q false
	in_range 20 40
	run -123 qpop -v -W 20 -B 20ms q false
	in_range 40 80
	qpush q b
	run -123 qpop -v -B 1h q sh -c 'read m; exit 1'
	in_range 300000 600000
}

@test "qpop: -q is silent about the dead" {
	qpush q a
	run -123 qpop -q -r 1 q false
	assert_eq "$stderr" ''
}

# --- what cannot be run ---------------------------------------------------------------

@test "qpop: a command that is not there is 127, and nothing is taken" {
	qpush q a
	run -127 qpop q no-such-command-anywhere
	assert_eq "$stderr" 'qpop: no-such-command-anywhere: No such file or directory'
	run -127 qpop q ./nothing
	assert_depth 1
	run -0 qpop -o '%a' q
	assert_eq "$output" 1
}

@test "qpop: a command that cannot be executed is 126, nothing is taken" {
	qpush q a
	echo true >script
	run -126 qpop q ./script
	run -126 qpop q /
	assert_depth 1
}

@test "qpop: a command that breaks later puts back uncounted" {
	qpush q a b
	printf '#!/bin/sh\nrm script\n' >script
	chmod +x script
	run -127 qpop -a q ./script
	assert_depth 1
	printf '#!/no/such/interpreter\n' >script
	chmod +x script
	run -127 qpop -a q ./script
	assert_attempt 1
}

@test "qpop: a script without #! is run by sh, as execvp does" {
	qpush q a
	echo 'echo "$1 $(cat)"' >script
	chmod +x script
	run -0 qpop q ./script arg
	assert_eq "$output" 'arg a'
}

@test "qpop: -- before the command is skipped, its options are its own" {
	qpush q a
	run -0 qpop q -- echo -n x
	assert_eq "$output" x
}

# --- what a command is given -------------------------------------------------------------

@test "qpop: the message is stdin exactly, and can be read twice" {
	head -c 20000000 /dev/urandom >big
	qctl create q max-message=32M
	qpush -w q <big
	printf 'no newline\0' | qpush -w q
	qpush -w q </dev/null
	for file in big text nothing; do
		qpop q sh -c "cat >/dev/null; cat /dev/stdin >$file.out"
	done
	cmp big big.out
	printf 'no newline\0' | cmp - text.out
	[ -e nothing.out ]
	[ ! -s nothing.out ]
}

@test "qpop: a command that does not read, and one that is slow to, are fine" {
	head -c 1000000 /dev/zero | qpush -w q
	run -0 qpop q true
	assert_depth 0
}

@test "qpop: the environment tells of the message" {
	qctl create q groups=g
	seq=$(qpush --print-seq -k 'a key' q m)
	export Q_COUNT=9 Q_KEY=outer
	qpop -g g q env | grep ^Q_ | sort >out
	cat out
	grep -qx "Q_ATTEMPT=1" out
	grep -qx "Q_GROUP=g" out
	grep -qx "Q_KEY=a key" out
	grep -qx "Q_QUEUE=q" out
	grep -qx "Q_SEQ=$seq" out
	grep -qx "Q_SLOT=1" out
	grep -qxE 'Q_TIMESTAMP=[0-9]{10}\.[0-9]{9}' out
	grep -qxE 'Q_ID=.+' out
	[ "$(wc -l <out)" -eq 8 ]
	qpush q unkeyed
	qpush -k '' -i mine q 'empty key'
	run -0 qpop -g g q sh -c 'echo "${Q_KEY-unset}"'
	assert_eq "$output" unset
	run -0 qpop -g g q sh -c 'echo "[${Q_KEY-unset}] $Q_ID"'
	assert_eq "$output" '[] mine'
}

@test "qpop: the id stays through retries; attempts count" {
	qpush q a
	for i in 1 2 3; do
		qpop -B 0 q sh -c 'echo "$Q_ID $Q_ATTEMPT" >>ids; exit 1' || :
	done
	assert_eq "$(cut -d ' ' -f 2 ids)" $'1\n2\n3'
	assert_eq "$(cut -d ' ' -f 1 ids | sort -u | wc -l)" 1
}

@test "qpop: a command has its own process group and one holder" {
	qpush q a b
	cat >look <<-'EOF'
	#!/bin/bash
	ls -l /proc/self/fd | grep -c /holders/ >holders.$Q_SLOT
	ls -l /proc/self/fd >fds.$Q_SLOT
	ps -o pgid= -p $$ | tr -d ' ' >pgid.$Q_SLOT
	echo $$ >pid.$Q_SLOT
	until [ -e pid.1 ] && [ -e pid.2 ]; do ./tick; done
	EOF
	chmod +x look
	run -0 qpop -a -P 2 q ./look
	for i in 1 2; do
		cat "fds.$i"
		assert_file "holders.$i" 1
		cmp "pid.$i" "pgid.$i"
	done
}

@test "qpop: descriptors and ignored signals are passed on as they were" {
	qpush q a
	echo inherited >file
	run -0 bash -c 'qpop q sh -c "cat <&5" 5<file'
	assert_eq "$output" inherited
	qpush q a b
	run -0 env --default-signal=INT,TERM,PIPE bash -c \
	    'qpop q grep -E "Sig(Ign|Blk)" /proc/self/status'
	# But for the real-time ones, whose default env cannot restore.
	assert_eq "$(grep -cE '[08]0000000$' <<<"$output")" 2
	run -0 env --default-signal=TERM bash -c 'trap "" PIPE INT
	    qpop q grep SigIgn /proc/self/status'
	assert_match "$output" '1002$'
}

# --- stdout and stderr ---------------------------------------------------------------------

@test "qpop: stderr is passed on, its tail is kept for the dead" {
	qpush q a
	run -123 qpop -q -r 1 q sh -c 'seq 5000 >&2; exit 1'
	seq 5000 >want
	diff <(cat <<<"$stderr") want
	qctl dead ls -J q | grep -q '4999\\n5000\\n'
	qctl dead ls -J q >dead.json
	run -1 grep -q '"stderr":"1\\n' dead.json
}

@test "qpop: stderr is passed on while the command runs" {
	qpush q a
	mkfifo gate
	spawn qpop q sh -c 'echo progress >&2; read x <gate'
	wait_until 10 grep -qx progress "$spawn_err"
	echo >gate
	wait_status 0
}

@test "qpop: stderr is a file that outlives qpop" {
	qpush q a
	mkfifo gate
	spawn qpop q sh -c 'trap "" TERM; echo $$ >pid; read x <gate
	    echo still >&2 && echo ok >wrote'
	wait_until 10 test -s pid
	kill -KILL "$spawned"
	wait_status 137
	echo >gate
	wait_until 10 dead "$(cat pid)"
	assert_file wrote ok
}

@test "qpop: output of parallel commands is not interleaved within a line" {
	seq 8 | qpush q
	cat >print <<-'EOF'
	#!/bin/bash
	read -r n
	for ((i = 0; i < 40; i++)); do
		for ((j = 0; j < 10; j++)); do
			printf '%s-' "$n"
			printf '%s-' "$n" >&2
		done
		echo
		echo >&2
	done
	printf 'last %s' "$n"
	EOF
	chmod +x print
	qpop -a -P 4 q ./print >out 2>err
	for n in $(seq 8); do
		line=$n-$n-$n-$n-$n-$n-$n-$n-$n-$n-
		assert_eq "$(sed 's/last [0-9]//g' out | grep -cx -- "$line")" 40
		assert_eq "$(grep -cx -- "$line" err)" 40
		assert_eq "$(grep -c "last $n" out)" 1
	done
	assert_eq "$(wc -l <out)" 320
}

@test "qpop: very long lines of parallel commands come out whole" {
	qpush q a b c
	qpop -a -P 3 q sh -c 'read c
	    head -c 1000000 /dev/zero | tr "\0" "$c"; echo' >out
	assert_eq "$(wc -l <out)" 3
	assert_eq "$(tr -d abc <out | tr -d '\n' | wc -c)" 0
	run -1 grep -qE 'ab|ba|ac|ca|bc|cb' out
	assert_eq "$(wc -c <out)" 3000003
}

@test "qpop: a slow reader of parallel commands holds up output, not signals" {
	mkfifo pipe
	exec 7<>pipe
	seq 20 | qpush q
	spawn bash -c 'exec qpop -a -P 2 q sh -c "seq 50000" >pipe'
	wait_until 10 eval '[ "$(qdepth q)" -le 20 ]'
	for i in 1 2 3 4 5; do nap; done
	kill -TERM "$spawned"
	nap
	kill -TERM "$spawned"
	timeout 20 cat <&7 >got &
	cat=$!
	wait_status 143
	kill "$cat"
	wait "$cat" || :
	qctl verify q
	no_dead
}

@test "qpop: -P whose reader is gone puts back, uncounted, and dies of PIPE" {
	qpush q a b c d
	run "${with_signals[@]}" bash -c \
	    'qpop -a -P 2 q yes | head -n 1; echo "${PIPESTATUS[0]}"'
	assert_eq "$output" $'y\n141'
	assert_depth 4
	run -0 qpop -a q sh -c 'echo $Q_ATTEMPT'
	assert_eq "$output" $'1\n1\n1\n1'
}

@test "qpop: what a command left running does not hold qpop up" {
	qpush q a b
	run -0 qpop -a -P 2 q sh -c 'read m; (exec sleep 60) &
	    echo $! >>left; echo "$m"'
	assert_eq "$(sort <<<"$output")" $'a\nb'
	assert_depth 0
	# shellcheck disable=SC2046
	kill $(cat left)
}

# --- -P, -n, -a, -f ---------------------------------------------------------------------------

@test "qpop: -P runs commands at once, slots are distinct" {
	seq 4 | qpush q
	run -0 qpop -a -P 4 q sh -c '
	    echo >"up.$Q_SLOT"
	    until [ -e up.1 ] && [ -e up.2 ] && [ -e up.3 ] && [ -e up.4 ]
	    do ./tick; done'
	assert_depth 0
}

@test "qpop: without -P one command at a time, in order" {
	seq 20 | qpush q
	run -0 qpop -a q cat
	assert_eq "$(wc -l <<<"$output")" 1
	assert_eq "$output" 1234567891011121314151617181920
}

@test "qpop: one message, -n N, and -a do not wait for backoff or delay" {
	seq 5 | qpush q
	qpush -D 1h q later
	run -0 qpop q cat
	assert_eq "$output" 1
	run -0 qpop -n 2 -P 4 q sh -c 'cat; echo'
	assert_eq "$(sort <<<"$output")" $'2\n3'
	run -123 qpop -a -B 1h q sh -c 'read n; echo "$n"; [ "$n" != 4 ]'
	assert_eq "$output" $'4\n5'
	assert_depth 2
	run -1 qpop -a q cat
}

@test "qpop: -a takes what comes while its commands run" {
	qpush q a
	mkfifo gate
	spawn qpop -a -P 2 q sh -c 'read m; echo "$m" >>log
	    [ "$m" != a ] || read x <gate'
	wait_until 10 grep -qsx a log
	qpush q b
	wait_until 10 grep -qx b log
	echo >gate
	wait_status 0
	assert_depth 0
}

@test "qpop: -f runs what comes, backoff included, and ends 0 on TERM" {
	spawn qpop -f -B 10ms q sh -c 'read m; echo "$m $Q_ATTEMPT" >>log
	    [ "$Q_ATTEMPT" = 3 ]'
	wait_until 10 test -d q
	wait_until 10 qpush q a
	wait_until 10 grep -qsx 'a 3' log
	kill -TERM "$spawned"
	wait_status 0
	assert_depth 0
}

@test "qpop: -f ends once a closed queue is drained, also of what backs off" {
	qpush q a
	qctl close q
	run -0 qpop -f -B 50ms q sh -c '[ "$Q_ATTEMPT" = 2 ]'
	assert_depth 0
}

# --- batches ---------------------------------------------------------------------------------

@test "qpop: -b gives records, counts them, and acknowledges all" {
	seq 5 | qpush q
	run -0 qpop -b 3 -n 3 q sh -c 'echo "$Q_COUNT ${Q_SEQ-none}"; cat'
	assert_eq "$output" $'3 none\n1\n2\n3'
	run -0 qpop -0 -b 10 q sh -c 'tr "\0" "|"'
	assert_eq "$output" '4|'
	run -0 qpop -a -L -b 10 q sh -c 'cat -v'
	assert_eq "$output" '^@^@^@^A5'
	assert_depth 0
}

@test "qpop: -b takes at most one message of a key" {
	printf '%s\n' a:1 a:2 b:3 a:4 b:5 c:6 | qpush -K : q
	run -0 qpop -a -b 10 q sh -c 'echo "$Q_COUNT:"; cat'
	assert_eq "$output" $'3:\n1\n3\n6\n2:\n2\n5\n1:\n4'
}

@test "qpop: -b: descriptor 3 says the fate of records" {
	seq 6 | qpush q
	run -123 qpop -B 0 -r 2 -n 6 -b 6 q sh -c '
	    printf "%s\n" "1 0" "2 75" "3 65" "4 1" "5 1" "5 0" >&3; exit 75'
	dead_is '"payload":"3"'
	qctl dead rm -aq q
	# 1, 5 are acknowledged; 2, 6 uncounted; 4 counted.
	run -0 qpop -a q sh -c 'echo "$(cat) $Q_ATTEMPT"'
	assert_eq "$output" $'2 1\n4 2\n6 1'
}

@test "qpop: -b: with exit 0 all is acknowledged whatever was said" {
	seq 3 | qpush q
	run -0 qpop -n 3 -b 3 q sh -c 'echo "1 65" >&3'
	assert_depth 0
	no_dead
}

@test "qpop: -b: nonsense on descriptor 3 is told and ignored" {
	seq 2 | qpush q
	run -123 qpop -n 2 -b 2 -B 0 q sh -c '
	    printf "0 0\n3 0\n1\n1 256\n1 -1\nx 0\n 1 0\n1  0\n\n2 0\377\n2 0\n1 0" >&3
	    exit 1'
	assert_eq "$(grep -c 'descriptor 3' <<<"$stderr")" 10
	run -0 qpop -a q cat
	assert_eq "$output" 1
}

@test "qpop: -b: what was tried before runs alone" {
	seq 5 | qpush q
	run -123 qpop -n 3 -b 3 -B 0 q false
	run -0 qpop -a -b 10 q sh -c 'echo "$Q_COUNT: $(paste -sd " ")"'
	assert_eq "$output" $'1: 1\n1: 2\n1: 3\n2: 4 5'
}

@test "qpop: -b: a record's 255 stops qpop, a signal counts for the unnamed" {
	seq 3 | qpush q
	run -124 qpop -n 3 -b 3 -B 0 q sh -c \
	    'printf "1 0\n2 255\n" >&3; kill -TERM $$'
	run -0 qpop -a q sh -c 'echo "$(cat) $Q_ATTEMPT"'
	assert_eq "$output" $'2 1\n3 2'
}

# --- at most once ----------------------------------------------------------------------------

@test "qpop: -m: a failing command's message does not come again; 123" {
	qpush q a
	run -123 qpop -m q false
	assert_depth 0
	no_dead
	run -1 qpop q true
}

@test "qpop: -m: acknowledged before the start; its key stays busy" {
	printf '%s\n' k:1 k:2 | qpush -K : q
	mkfifo gate
	spawn qpop -m q sh -c 'echo >up; read x <gate'
	wait_until 10 test -e up
	assert_depth 1
	run -1 qpop q cat
	echo >gate
	wait_status 0
	run -0 qpop q cat
	assert_eq "$output" 2
}

# --- signals ---------------------------------------------------------------------------------

@test "qpop: the first signal lets commands end, then qpop dies of it" {
	for sig in INT TERM HUP; do
		qpush q a b
		mkfifo gate
		spawn "${with_signals[@]}" qpop -a q sh -c \
		    'trap "exit 1" INT TERM HUP; echo >up; read x <gate'
		wait_until 10 test -e up
		kill -s "$sig" "$spawned"
		for i in 1 2 3 4 5; do nap; done
		alive "$spawned"
		echo >gate
		wait_status $((128 + $(kill -l "$sig")))
		assert_depth 1
		qctl purge -q q
		rm up gate
	done
}

@test "qpop: a second signal is passed on, the message is put back uncounted" {
	qpush q a b
	spawn "${with_signals[@]}" qpop -a -P 2 q sh -c '
	    trap "echo told >>log; exit 1" INT
	    echo >>up; while :; do ./tick; done'
	wait_until 10 lines 2 up
	kill -INT "$spawned"
	for i in 1 2 3; do nap; done
	[ ! -e log ]
	kill -INT "$spawned"
	wait_status 130
	assert_file log $'told\ntold'
	no_dead
	run -0 qpop -a q sh -c 'echo "$Q_ATTEMPT"'
	assert_eq "$output" $'1\n1'
}

# --- death of qpop and of its commands --------------------------------------------------------

@test "qpop: killed, its command gets TERM and the message comes at once" {
	qpush q a
	spawn qpop q sh -c 'trap "echo term >told; exit" TERM; echo $$ >pid
	    while :; do ./tick; done'
	wait_until 10 test -s pid
	first=$spawned
	spawn qpop -W 20 q sh -c 'echo "$Q_ATTEMPT"'
	second=$spawned
	for i in 1 2 3; do nap; done
	alive "$second"
	kill -KILL "$first"
	wait_status 0 "$second"
	# The try of the killed one counted.
	assert_file "$spawn_out" 2
	assert_file told term
}

@test "qpop: a command that outlives its killed qpop keeps the message" {
	qpush q a
	mkfifo gate
	spawn qpop q sh -c 'trap "" TERM; echo $$ >pid; read x <gate'
	wait_until 10 test -s pid
	kill -KILL "$spawned"
	wait_status 137
	alive "$(cat pid)"
	run -1 qpop q true
	run -1 qpop -W 30ms q true
	assert_depth 1
	spawn qpop -W 20 q sh -c 'echo "$Q_ATTEMPT"'
	for i in 1 2 3; do nap; done
	alive "$spawned"
	echo >gate
	wait_status 0
	assert_file "$spawn_out" 2
	assert_depth 0
}

@test "qpop: so does a child of the command" {
	qpush q a
	spawn qpop q sh -c 'trap "" TERM; (while [ ! -e go ]; do ./tick; done) &
	    echo $! >child; echo $$ >pid; wait'
	wait_until 10 test -s pid
	kill -KILL "$spawned" "$(cat pid)"
	wait_status 137
	run -1 qpop q true
	touch go
	run -0 qpop -W 20 q true
}

@test "qpop: a stopped consumer keeps its messages, others go on" {
	printf '%s\n' a:1 a:2 b:1 b:2 c:1 | qpush -K : q
	spawn qpop -a q sh -c 'echo >up; while [ ! -e go ]; do ./tick; done
	    echo "$Q_KEY:$(cat)" >>log'
	wait_until 10 test -e up
	# Stopped in the middle of a sync it would hold up the others' syncs.
	wait_until 10 rests "$spawned"
	kill -STOP "$spawned"
	run -0 qpop -a q sh -c 'echo "$Q_KEY:$(cat)"'
	assert_eq "$output" $'b:1\nb:2\nc:1'
	run -1 qpop q true
	assert_depth 2
	touch go
	kill -CONT "$spawned"
	wait_status 0
	assert_file log $'a:1\na:2'
	assert_depth 0
}

@test "qpop: the keyboard stops it once no lock is held, and it goes on" {
	seq 50 | qpush q
	spawn env --default-signal=TSTP qpop -a -P 2 q ./tick
	for i in 1 2 3 4 5; do
		nap
		kill -TSTP "$spawned" || break
		wait_until 10 grep -qE '^State:.[TZ]' "/proc/$spawned/status"
		# Others push and pop meanwhile.
		qpush q more
		run -0 qpop q
		kill -CONT "$spawned"
	done
	wait_status 0
}

@test "qpop: a poison message that kills qpop each time is dead in the end" {
	qpush q poison
	for i in 1 2 3; do
		run -137 qpop -W 20 -r 3 q sh -c 'echo >>ran; kill -KILL $PPID'
	done
	# The last holder may still be going.
	wait_until 10 eval 'qpop -r 3 q sh -c "echo >>ran" || [ "$(qdepth q)" = 0 ]'
	assert_depth 0
	assert_eq "$(wc -l <ran)" 3
	dead_is '"tries":3'
}

@test "qpop: a claim ended by qctl: the ack changes nothing, and it is told" {
	qpush q a
	mkfifo gate
	spawn qpop q sh -c 'echo "$Q_SEQ" >seq; read x <gate'
	wait_until 10 test -s seq
	qctl nack --force q "$(cat seq)"
	echo >gate
	wait_until 10 dead "$spawned"
	grep -q 'taken away' "$spawn_err"
	assert_depth 1
}

@test "qpop: a try is made durable while its command runs; 74 if not" {
	qpush q a b
	mkfifo gate
	spawn env DSUTILS_FAULT=sync:1+:EIO \
	    qpop -f q sh -c 'echo >>up; read x <gate'
	wait_until 10 test -e up
	wait_until 10 grep -q 'Input/output error' "$spawn_err"
	alive "$spawned"
	echo >gate
	wait_status 74
	assert_file up ''
}

@test "qpop: -m that cannot be made durable delivers nothing: 74" {
	qpush q a
	run -74 env DSUTILS_FAULT=sync:1+:EIO qpop -m q
	assert_eq "$output" ''
	qpush q b
	run -74 env DSUTILS_FAULT=sync:1+:EIO qpop -m q touch ran
	[ ! -e ran ]
}

@test "qpop: a damaged message is skipped and told, the others are run" {
	qpush q aaaa bbbb cccc
	# They were taken once, so that their places are known.
	run -123 qpop -n 3 -B 0 -P 3 q false
	at=$(cat q/log/* | grep -abo bbbb | cut -d : -f 1)
	printf X | dd of="$(ls q/log/*)" bs=1 seek="$at" conv=notrunc 2>dd.err
	run -0 qpop -a -r 0 q sh -c 'cat; echo'
	assert_eq "$output" $'aaaa\ncccc'
	assert_match "$stderr" 'message [0-9]+ is damaged and was skipped'
	run -1 qpop -a -r 0 q cat
	no_dead
	run -1 qctl verify q
}

# --- order per key ----------------------------------------------------------------------------

@test "qpop: a failing message holds back its key, and nobody else's" {
	printf '%s\n' a:1 b:1 a:2 b:2 c:1 | qpush -K : q
	run -123 qpop -a -B 1h q sh -c 'm=$(cat); echo "$Q_KEY$m"
	    [ "$Q_KEY$m" != a1 ]'
	assert_eq "$output" $'a1\nb1\nb2\nc1'
	assert_depth 2
}

@test "qpop: a dead message frees its key; requeued it goes first" {
	printf '%s\n' a:1 a:2 a:3 | qpush -K : q
	run -123 qpop -n 2 -q q sh -c 'm=$(cat); echo "$m"; [ "$m" != 1 ] || exit 65'
	assert_eq "$output" $'1\n2'
	qctl dead requeue -aq q
	run -0 qpop -a q sh -c 'echo "$(cat) $Q_ATTEMPT"'
	assert_eq "$output" $'1 1\n3 1'
}

# Every run appends "begin KEY N", then "end KEY N ok|failed" to its log with
# the time; per key the runs must not overlap, and go through 1..n in order,
# each again until it is ok.
judge() {
	sort -n "$@" | awk -v n="$N" '
	    $2 == "begin" {
		if (busy[$3] != "") {
			print "overlap of " $3 ": " busy[$3] " and " $4; bad = 1
		}
		if ($4 != done[$3] + 1) {
			print $3 ": " $4 " after " done[$3] + 0; bad = 1
		}
		busy[$3] = $4; runs++
	    }
	    $2 == "end" {
		if (busy[$3] != $4) {
			print "end of " $3 " " $4 " without begin"; bad = 1
		}
		busy[$3] = ""
		if ($5 == "ok") done[$3] = $4
	    }
	    END {
		for (k in done) {
			keys++
			if (done[k] != n) { print k ": up to " done[k]; bad = 1 }
		}
		print runs " runs of " keys " keys"
		exit bad || keys != 16
	    }'
}

work_script() {
	cat >work <<-'EOF'
	#!/bin/bash
	read -r n
	printf '%s begin %s %s\n' "${EPOCHREALTIME/./}" "$Q_KEY" "$n" >>"log.$1.$Q_SLOT"
	s=ok rc=0
	(( (RANDOM ^ $$) % 5 )) || { s=failed rc=1; }
	printf '%s end %s %s %s\n' "${EPOCHREALTIME/./}" "$Q_KEY" "$n" "$s" >>"log.$1.$Q_SLOT"
	exit "$rc"
	EOF
	chmod +x work
}

@test "qpop: 8 consumers, 16 keys, random failures: order and no overlap" {
	work_script
	N=12
	for n in $(seq "$N"); do
		for k in $(seq 16); do echo "key$k:$n"; done
	done | qpush -K : q
	qctl close q
	pids=()
	for c in 1 2 3 4 5 6 7 8; do
		qpop -f -r 0 -B 1ms q ./work "$c" 2>"err.$c" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		rc=0
		wait "$pid" || rc=$?
		[ "$rc" -eq 0 ] || [ "$rc" -eq 123 ]
	done
	run -0 judge log.*
	assert_depth 0
}

@test "qpop: the same with -P, and consumers killed meanwhile" {
	work_script
	N=12
	for n in $(seq "$N"); do
		for k in $(seq 16); do echo "key$k:$n"; done
	done | qpush -K : q
	seed=${SEED:-$RANDOM}
	echo "seed $seed"
	RANDOM=$seed
	consumer() { spawn qpop -f -P 4 -r 0 -B 1ms q ./work "$1"; }
	pids=()
	for c in 1 2; do consumer "$c"; pids+=("$spawned"); done
	for c in $(seq 3 12); do
		for ((i = RANDOM % 10; i >= 0; i--)); do nap; done
		v=$((RANDOM % 2))
		kill -KILL "${pids[v]}"
		consumer "$c"
		pids[v]=$spawned
	done
	wait_until 20 eval '[ "$(qdepth q)" = 0 ]'
	for p in "${pids[@]}"; do kill -TERM "$p"; done
	for p in "${pids[@]}"; do wait_status 0 "$p"; done
	# A killed command may have begun without an end: it had its TERM.
	sort -n log.* | awk '
	    $2 == "begin" {
		if ($4 > done[$3] + 1) { print $3 ": " $4 " after " done[$3]; bad = 1 }
		if ($4 < done[$3]) { print $3 ": back to " $4; bad = 1 }
	    }
	    $2 == "end" && $5 == "ok" { done[$3] = $4 }
	    END {
		for (k in done) if (done[k] != '"$N"') bad = 1
		exit bad
	    }'
}

# bats test_tags=slow
@test "qpop: 100,000 blocked and delayed messages cost a pop nothing" {
	pops() {
		ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 \
		    strace -f -c -o "$1" qpop -n 50 -g main q true
		awk '$NF == "total" { print $(NF - 1) == "" ? $3 : $4 }' "$1"
	}
	qpush q first
	seq 60 | qpush q
	qpop q true
	few=$(pops few)
	qpush -D 1h -k busy q head
	seq 50000 | qpush -k busy q
	seq 50000 | qpush -D 1h q
	seq 120 | qpush q
	qpop -n 12 q true		# passes what is blocked, once
	many=$(pops many)
	echo "system calls of 50 pops: $few, then $many"
	[ "$many" -le $((few * 2)) ]
	run -0 qpop q cat
}

# --- the page ---------------------------------------------------------------------------------

# example N: the N-th example of the page, as a script.
example() {
	awk -v n="$1" '/^\.Sh/ { on = /EXAMPLES/ }
	    on && /^\.Bd/ { k++; next } on && /^\.Ed/ { k += 0; in_it = 0 }
	    { if (on && k == n && $0 !~ /^\.Ed/ && !over) print }
	    on && k == n && /^\.Ed/ { over = 1 }' \
	    "$BATS_TEST_DIRNAME/../man/qpop.1" | sed 's/\\e/\\/g' >example.sh
	[ -s example.sh ]
	cat example.sh
}

@test "qpop: the page's first example" {
	example 1
	run -0 bash -eu example.sh
	assert_eq "$output" $'1\n4\n9\n16\n25\n36\n49\n64\n81\n100'
}

@test "qpop: the page's fetcher of web pages" {
	command -v curl >/dev/null || skip "no curl"
	echo one >one.html
	echo two >two.html
	printf '%s\n' "file://$PWD/one.html" "file://$PWD/two.html" \
	    'no-such-scheme://x/' "file://$PWD/missing.html" >urls
	example 2
	run -123 bash -eu example.sh
	assert_eq "$(cat page.*)" $'one\ntwo'
	assert_depth 1 pages
	dead_is '"payload":"no-such-scheme://x/"' pages
	dead_is '"reason":"rejected"' pages
}

@test "qpop: the page's fan-out to two groups" {
	example 3
	run -0 bash -eu example.sh
	assert_eq "$output" $'Welcome ann\n1'
	assert_file index.log $'ann joined\nbob joined'
}

@test "qpop: the page's idempotent consumer" {
	example 4
	run -0 bash -eu example.sh
	assert_eq "$(cat paid/*)" 'paid 30 to ann'
	assert_eq "$(ls paid)" invoice-7
	# A second delivery does nothing.
	echo 'done' >paid/invoice-8
	qpush -i invoice-8 bills 'again'
	run -0 qpop bills ./pay
	assert_eq "$(cat paid/invoice-8)" 'done'
}

@test "qpop: the page's static partition" {
	example 5
	run -0 bash -eu example.sh
	assert_eq "$(sort part1 part2)" $'ann:1\nann:2\nbob:1\nbob:2'
	for part in part1 part2; do
		for who in ann bob; do
			[ "$(grep -c "$who" "$part")" != 1 ]
		done
	done
}

@test "qpop: the page's back-pressure" {
	example 6
	run -0 bash -eu example.sh
	assert_eq "$output" 10000
	assert_depth 0 lines
}

@test "qpop: the page's way from one queue into another, and by hand" {
	example 7
	run -0 bash -eu example.sh
	assert_depth 0 inbox
	run -0 qpop archive
	assert_eq "$output" hello
	example 8
	run -0 bash -eu example.sh
	assert_eq "$output" 'by hand'
	assert_depth 0 inbox
}
