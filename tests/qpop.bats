#!/usr/bin/env bats
# qpop(1) to the standard output; commands are in qpop_run.bats.
# shellcheck disable=SC2016

bats_require_minimum_version 1.8.0
load helpers

# strace and the leak checker exclude each other.
traced() {
	ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 strace -f -o trace "$@"
	cat trace
}

# The queue holds so many messages.
depth() { qdepth "${2-q}" | grep -qx "$1"; }

assert_depth() { assert_eq "$(qdepth "${2-q}")" "$1" depth; }

# bats runs tests in the background, where INT is ignored.
with_signals=(env '--default-signal=INT,TERM,HUP,PIPE')

# --- options and statuses ------------------------------------------------------

@test "qpop: usage answers 64, -h and -V answer 0" {
	run -64 qpop
	assert_match "$stderr" '^usage: qpop '
	run -64 qpop -Z q
	run -0 qpop -h
	assert_match "$output" '^usage: qpop '
	run -0 qpop -V
	assert_match "$output" '^qpop [0-9]'
}

@test "qpop: options out of range or out of place answer 64" {
	for bad in '-n 0' '-n x' '-W 1y' '-p 0/2' '-p 3/2' '-p 1/257' '-p 2' \
	    '-l 0' '-d ab' '-P 2' '-b 2' '-r 1' '-B 1' '-T 1' '-l 1 -m' \
	    '-J -o %s'; do
		# shellcheck disable=SC2086
		run -64 qpop $bad q
	done
	for bad in '-w' '-J' '-o %s' '-l 1' '-P 0' '-P 1025' '-b 0' '-T 0' \
	    '-r -1' '-B -1'; do
		# shellcheck disable=SC2086
		run -64 qpop $bad q true
	done
	run -64 qpop q --
	[ ! -e q ]
}

@test "qpop: a URL is refused with 78" {
	run -78 qpop nats://localhost/q
	assert_match "$stderr" '^qpop: nats://localhost/q: '
}

@test "qpop: a missing queue answers 66 and is not made" {
	run -66 qpop q
	assert_eq "$stderr" 'qpop: q: No such file or directory'
	run -66 qpop -a q true
	[ ! -e q ]
}

@test "qpop: -W and -f make a missing queue" {
	run -1 qpop -W 0 q
	run -1 qpop -f -W 10ms r
	run -1 qpop -W 0 s true
	depth 0 q && depth 0 r && depth 0 s
}

@test "qpop: what is no queue answers 66 or 65, an unknown group 66" {
	echo text >file
	run -66 qpop file
	qpush q a
	run -66 qpop -g other q
	assert_match "$stderr" 'no group other'
}

@test "qpop: an empty queue answers 1 and is silent" {
	qpush q a
	qpop q >/dev/null
	run -1 qpop q
	assert_eq "$output$stderr" ''
	run -1 qpop -a q
	run -1 qpop -n 3 q
	assert_eq "$output$stderr" ''
}

# --- how many ------------------------------------------------------------------

@test "qpop: one message, -n, -a, in order" {
	seq 10 | qpush q
	run -0 qpop q
	assert_eq "$output" 1
	assert_depth 9
	run -0 qpop -n 3 q
	assert_eq "$output" $'2\n3\n4'
	run -0 qpop --count 2 --all q
	assert_eq "$output" $'5\n6'
	run -0 qpop -a q
	assert_eq "$output" $'7\n8\n9\n10'
	assert_depth 0
}

@test "qpop: fewer than -n is 0" {
	seq 2 | qpush q
	run -0 qpop -n 5 q
	assert_eq "$output" $'1\n2'
}

@test "qpop: a million lines come back byte for byte" {
	seq 1000000 >lines
	qpush q <lines
	assert_depth 1000000
	qpop -a q | cmp - lines
	assert_depth 0
	run -1 qpop q
}

# --- framing and form ------------------------------------------------------------

@test "qpop: -0, -d, -L and -w frame records; empty ones are records" {
	printf 'a\0\0b\0' >in
	for i in 1 2 3 4 5; do qpush -0 q <in; done
	qpop -n 3 -0 q | cmp - in
	qpop -n 3 -d '\x1f' q | tr '\037' '\0' | cmp - in
	qpop -n 3 q | tr '\n' '\0' | cmp - in
	qpop -n 3 -L q | cmp - <(printf '\0\0\0\1a\0\0\0\0\0\0\0\1b')
	qpop -n 3 --whole q | cmp - <(printf ab)
}

@test "qpop: binary messages, and one of 16 MiB, come back byte for byte" {
	head -c 16777216 /dev/urandom >big
	head -c 70000 /dev/urandom >small
	qpush -w q <big
	qpush -w q <small
	qpush -w q </dev/null
	qpush -w q <big
	qpop -w q | cmp - big
	qpop -L -a q >out
	{
		printf '\0\1\21\160'
		cat small
		printf '\0\0\0\0\1\0\0\0'
		cat big
	} | cmp - out
}

@test "qpop: -o has the tokens of kcat" {
	qpush -k key q 'hello'
	run -0 qpop -o '%s|%S|%k|%K|%t|%p|%h|%a|%%|\x41\t\\\n' q
	assert_eq "$output" $'hello|5|key|3|q|0||1|%|A\t\\'
	qpush q 'x'
	qpop -o '%k%K%R' q | cmp - <(printf -- '-1\0\0\0\1')
	qpush -i mine q a
	run -0 qpop -o '%i' q
	assert_eq "$output" mine
	seq=$(qpush --print-seq q c)
	run -0 qpop -p 1/1 -o '%p %o %T' q
	assert_match "$output" "^1 $seq [0-9]{13}\$"
}

@test "qpop: default ids differ and hold queue, epoch and number" {
	qpush q a b
	run -0 qpop -a -o '%i\n' q
	assert_eq "${#lines[@]}" 2
	[ "${lines[0]}" != "${lines[1]}" ]
}

@test "qpop: a format that cannot be read answers 64, nothing is taken" {
	qpush q a
	run -64 qpop -o '%z' q
	run -64 qpop -o 'a%' q
	run -64 qpop -o '\q' q
	run -64 qpop -o '\x4' q
	assert_depth 1
}

@test "qpop: -J writes what qpush -J reads" {
	printf 'bin\0\377ary' | qpush -w -k k -i my-id q
	qpush q 'text "quoted"'
	qpop -a -J q >dump
	assert_eq "$(wc -l <dump)" 2
	grep -q '"payload":"text \\"quoted\\""' dump
	grep -q '"payload_b64":' dump
	grep -q '"key":"k","id":"my-id","attempt":1' dump
	qpush -J r <dump
	run -0 qpop -o '%k %i' r
	assert_eq "$output" 'k my-id'
	run -0 qpop r
	assert_eq "$output" 'text "quoted"'
}

# --- waiting -----------------------------------------------------------------------

@test "qpop: -W waits for a first message" {
	qctl create q
	spawn qpop -W 20 q
	nap
	alive "$spawned"
	qpush q hello world
	wait_status 0
	assert_file "$spawn_out" hello
	assert_depth 1
}

@test "qpop: -W that ran out answers 1" {
	qctl create q
	run -1 qpop -W 30ms q
	run -1 qpop -W 0 -a q
	qpush -D 1h q later
	run -1 qpop -W 30ms q
}

@test "qpop: -W waits for a delayed message" {
	qpush -D 300ms q later
	run -0 qpop -W 20 q
	assert_eq "$output" later
}

@test "qpop: -f goes on, and ends with 0 on TERM" {
	spawn qpop -f q
	wait_until 10 test -d q
	for i in 1 2 3; do
		wait_until 10 qpush q "$i"
		wait_until 10 grep -qx "$i" "$spawn_out"
	done
	kill -TERM "$spawned"
	wait_status 0
	assert_file "$spawn_out" $'1\n2\n3'
}

@test "qpop: -f -n ends with the last message" {
	spawn qpop -f -n 3 q
	wait_until 10 test -d q
	seq 2 | qpush q
	wait_until 10 grep -qx 2 "$spawn_out"
	seq 3 4 | qpush q
	wait_status 0
	assert_file "$spawn_out" $'1\n2\n3'
	assert_depth 1
}

@test "qpop: -f -W ends when nothing came for that long" {
	seq 3 | qpush q
	run -0 qpop -f -W 50ms q
	assert_eq "$output" $'1\n2\n3'
	run -1 qpop -f -W 50ms q
}

@test "qpop: -f ends with 0 once a closed queue is drained" {
	seq 3 | qpush q
	spawn qpop -f q
	wait_until 10 grep -qx 3 "$spawn_out"
	alive "$spawned"
	qctl close q
	wait_status 0
	run -0 qpop -f q
	run -1 qpop q
}

@test "qpop: a waiting qpop notices that the queue was removed: 66" {
	spawn qpop -f q
	wait_until 10 test -d q
	wait_until 10 qpush q 1
	wait_until 10 grep -qx 1 "$spawn_out"
	qctl rm q
	wait_status 66
}

@test "qpop: paused queues deliver nothing until they go on" {
	qpush q a
	qctl set q paused=yes
	run -1 qpop q
	spawn qpop -W 20 q
	nap
	alive "$spawned"
	qctl set q paused=no
	wait_status 0
	assert_file "$spawn_out" a
}

@test "qpop: waiting takes no CPU" {
	spawn qpop -f q
	wait_until 10 test -d q
	for i in 1 2 3 4 5; do nap; done
	before=$(awk '/ctxt/ { n += $2 } END { print n }' \
	    "/proc/$spawned/status")
	for ((i = 0; i < 50; i++)); do nap; done
	after=$(awk '/ctxt/ { n += $2 } END { print n }' \
	    "/proc/$spawned/status")
	echo "switches: $((after - before))"
	[ $((after - before)) -le 30 ]
}

# --- signals and readers ---------------------------------------------------------

@test "qpop: INT and TERM end it by that signal, nothing is taken" {
	qctl create q
	for sig in INT TERM HUP; do
		spawn "${with_signals[@]}" qpop -W 60 q
		wait_until 10 grep -qs '^State:.S' "/proc/$spawned/status"
		for i in 1 2 3 4 5; do nap; done
		kill -s "$sig" "$spawned"
		wait_status $((128 + $(kill -l "$sig")))
	done
	spawn "${with_signals[@]}" qpop -f q
	for i in 1 2 3 4 5; do nap; done
	kill -INT "$spawned"
	wait_status 130
}

# A reader that has the pipe open and reads when told to.
stuck_reader() {
	mkfifo pipe
	exec 7<>pipe
}

# Wait until the process sleeps in a write to the pipe.
writes() {
	wait_until 10 eval 'grep -qs pipe "/proc/$spawned/wchan" ||
	    [ "$(cut -d " " -f 1 "/proc/$spawned/syscall")" = 1 ]'
}

@test "qpop: killed while writing, the rest is there for others at once" {
	stuck_reader
	seq 100000 >lines
	qpush q <lines
	spawn bash -c 'exec qpop -a q >pipe'
	writes
	kill -KILL "$spawned"
	wait "$spawned" || :
	qpop -a q >rest
	timeout 1 cat <&7 >got || :
	# What the pipe took is in it whole, but for the last; the rest follows.
	got=$(wc -l <got)
	echo "in the pipe: $got, then: $(head -n 1 rest)"
	[ "$(head -n 1 rest)" -le $((got + 1)) ]
	{ head -n $(($(head -n 1 rest) - 1)) got; cat rest; } | cmp - lines
}

@test "qpop: TERM while writing: a whole record, the rest is put back" {
	stuck_reader
	seq 100000 >lines
	qpush q <lines
	spawn bash -c 'exec qpop -a q >pipe'
	writes
	kill -TERM "$spawned"
	timeout 2 cat <&7 >got || :
	rc=0
	wait "$spawned" || rc=$?
	assert_eq "$rc" 143
	timeout 1 cat <&7 >>got || :
	qpop -a q >rest
	cat got rest | cmp - lines
}

@test "qpop: a second TERM does not wait for the reader" {
	stuck_reader
	seq 100000 | qpush q
	spawn bash -c 'exec qpop -a q >pipe'
	writes
	kill -TERM "$spawned"
	nap
	wait_until 10 eval 'kill -TERM "$spawned"; dead "$spawned"'
	wait "$spawned" || :
	[ "$(qdepth q)" -gt 0 ]
	timeout 1 cat <&7 >got || :
	qpop -a q >rest
	# Only the record that was half out may be there twice.
	[ $(($(wc -l <got) + $(wc -l <rest))) -ge 100000 ]
	[ $(($(wc -l <got) + $(wc -l <rest))) -le 100001 ]
}

@test "qpop: a reader that goes away leaves the rest in the queue" {
	seq 100000 | qpush q
	run "${with_signals[@]}" bash -c \
	    'qpop -a q | head -n 1; echo "${PIPESTATUS[0]}"'
	assert_eq "$output" $'1\n141'
	assert_eq "$stderr" ''
	# At most what a pipe and one claim hold was taken.
	left=$(qdepth q)
	echo "left: $left"
	[ "$left" -ge 50000 ]
	run -0 qpop q
	[ "$output" -le $((100001 - left)) ]
}

@test "qpop: with SIGPIPE ignored, a reader that is gone is 74" {
	seq 100000 | qpush q
	run bash -c 'trap "" PIPE; qpop -a q | head -n 1; echo "${PIPESTATUS[0]}"'
	assert_eq "$output" $'1\n74'
	assert_match "$stderr" 'the reader is gone'
}

@test "qpop: a waiting qpop notices that its reader is gone" {
	qctl create q
	mkfifo pipe
	exec 7<>pipe
	spawn "${with_signals[@]}" bash -c 'exec 7>&-; exec qpop -f q >pipe'
	wait_until 10 eval 'readlink /proc/$spawned/exe | grep -q qpop'
	exec 8<pipe 7>&-
	for i in 1 2 3 4 5; do nap; done
	alive "$spawned"
	exec 8<&-
	wait_status 141
}

@test "qpop: a closed output is 74, and nothing is taken" {
	qpush q a
	run -74 bash -c 'qpop q >&-'
	assert_depth 1
	qpop q | grep -qx a
	qctl verify q
}

@test "qpop: an output that is full is 74, and nothing is acknowledged" {
	seq 3 | qpush q
	run -74 bash -c 'qpop -a q >/dev/full'
	assert_match "$stderr" 'No space left'
	assert_depth 3
	run -0 qpop q
	assert_eq "$output" 1
}

@test "qpop: a file that may not grow is 74; what it took whole is not repeated" {
	seq 1000000 >lines
	qpush q <lines
	run -74 bash -c 'ulimit -f 5000; qpop -a q >out'
	[ "$(qdepth q)" -gt 0 ]
	# The last record may be half in the file.
	whole=$((1000000 - $(qdepth q)))
	{ head -n "$whole" out; qpop -a q; } | cmp - lines
}

@test "qpop: a regular file is synced before the acknowledgement" {
	seq 3 | qpush q
	traced -e trace=write,pwrite64,fdatasync sh -c 'qpop -a q >out'
	# The write, its sync, then the journal of the acknowledgement.
	awk '/write\(1,/ { w = NR } /fdatasync\(1\)/ { s = NR }
	    /pwrite64\(/ { j = NR }
	    END { exit !(w && s > w && j > s) }' trace
	assert_file out $'1\n2\n3'
}

@test "qpop: acknowledgements are synced before exit" {
	qpush q a
	traced -e trace=write,pwrite64,fdatasync,fsync qpop q
	awk '/pwrite64\(/ { j = NR } /f(data)?sync\(/ { s = NR }
	    END { exit !(j && s > j) }' trace
}

# --- several consumers -----------------------------------------------------------

@test "qpop: several at once share the work, nothing comes twice" {
	seq 200000 >lines
	qpush q <lines
	for i in 1 2 3 4; do spawn qpop -a q; done
	for pid in "${spawn_pids[@]}"; do
		wait_until 20 dead "$pid"
	done
	wc -l spawn.*.out
	sort -n spawn.*.out | cmp - lines
	for i in 0 1 2 3; do sort -nc "spawn.$i.out"; done
}

@test "qpop: of a key, one stream consumer has a run in order" {
	for i in $(seq 50); do echo "a:$i b:$i"; done | tr ' ' '\n' |
	    qpush -K : q
	qpop -a -o '%k %s\n' q >out
	assert_eq "$(wc -l <out)" 100
	grep ^a out | cut -c 3- | cmp - <(seq 50)
	grep ^b out | cut -c 3- | cmp - <(seq 50)
}

@test "qpop: -p parts are disjoint, complete, and constant per key" {
	seq 1000 | sed 's/.*/key&:&/' | qpush -K : q
	for i in 1 2 3; do
		qpop -a -p "$i/3" q >"out.$i"
		[ -s "out.$i" ]
	done
	sort -n out.* | cmp - <(seq 1000)
	qpush -k key7 q again
	part=$(grep -lx 7 out.*)
	run -1 qpop -p "$((${part#out.} % 3 + 1))/3" q
	run -0 qpop -p "${part#out.}/3" q
	assert_eq "$output" again
	qpush q unkeyed
	run -0 qpop -p 3/3 q
}

@test "qpop: groups have every message each" {
	qctl create q groups=a,b
	seq 3 | qpush q
	run -66 qpop q
	run -0 qpop -a -g a q
	assert_eq "$output" $'1\n2\n3'
	run -0 qpop -a -g b q
	assert_eq "$output" $'1\n2\n3'
	assert_depth 0
}

# --- once, and leases -----------------------------------------------------------

@test "qpop: -m acknowledges first; killed, nothing comes twice" {
	stuck_reader
	seq 100000 >lines
	qpush q <lines
	spawn bash -c 'exec qpop -m -a q >pipe'
	writes
	kill -KILL "$spawned"
	wait "$spawned" || :
	qpop -a q >rest
	timeout 1 cat <&7 >got || :
	got=$(grep -c . got) rest=$(wc -l <rest)
	echo "got $got, rest $rest"
	# Only what was in hand is lost: no more than 64 KiB.
	[ $((got + rest)) -le 100001 ]
	[ $((100000 - got - rest)) -le 20000 ]
	[ "$(head -n 1 rest)" -gt "$(tail -n 2 got | head -n 1)" ]
}

@test "qpop: -m is durable before the first byte" {
	qpush q a
	traced -e trace=write,pwrite64,fdatasync qpop -m q
	awk '/pwrite64\(/ && !w { j = NR } /fdatasync\(/ && !w { s = NR }
	    /write\(1,/ { w = NR } END { exit !(j && s > j && w > s) }' trace
}

@test "qpop: -l prints a receipt and leaves the message in flight" {
	qpush q hello
	run -0 qpop -l 1h q
	receipt=${output%%$'\t'*}
	assert_eq "${output#*$'\t'}" hello
	run -1 qpop q
	assert_depth 1
	run -0 qctl ack q "$receipt"
	assert_depth 0
	run -1 qctl ack q "$receipt"
}

@test "qpop: a lease that ran out gives the message back, the receipt is stale" {
	qpush q hello
	run -0 qpop -l 50ms q
	receipt=${output%%$'\t'*}
	run -0 qpop -W 20 q
	assert_eq "$output" hello
	run -1 qctl ack q "$receipt"
}

@test "qpop: -l takes one message of a key at a time" {
	printf '%s\n' a:1 a:2 b:3 | qpush -K : q
	run -0 qpop -a -l 1h q
	assert_eq "$(cut -f 2 <<<"$output")" $'1\n3'
	receipt=$(head -n 1 <<<"$output" | cut -f 1)
	run -1 qpop q
	qctl ack q "$receipt"
	run -0 qpop q
	assert_eq "$output" 2
}

@test "qpop: -l in JSON, in a format, and with lengths" {
	qpush q one two three
	run -0 qpop -J -l 1h q
	assert_match "$output" '"payload":"one".*"receipt":"[^"]+"'
	run -0 qpop -o '<%s>\n' -l 1h q
	assert_match "$output" $'^[^\t]+\t<two>$'
	qpop -L -l 1h q >out
	len=$((16#$(head -c 4 out | od -An -tx1 | tr -d ' \n')))
	assert_eq "$(wc -c <out)" "$((len + 4))"
	assert_eq "$(tail -c +5 out | cut -f 2)" three
}

@test "qpop: a lease that could not be printed is put back" {
	qpush q hello
	run -74 bash -c 'qpop -l 1h q >/dev/full'
	run -0 qpop q
	assert_eq "$output" hello
}

@test "qpop: under -f acknowledgements are synced while it waits; 74 if not" {
	qctl create q
	qpush q a
	spawn env DSUTILS_FAULT=sync:1+:EIO qpop -f q
	wait_status 74
	assert_file "$spawn_out" a
	grep -q 'may come again' "$spawn_err"
	assert_depth 0
}

@test "qpop: -m that cannot be made durable delivers nothing and puts back" {
	seq 5 | qpush q
	DSUTILS_FAULT=sync:1+:EIO run -74 qpop -m -n 3 q
	assert_eq "$output" ''
	assert_eq "$(qdepth q)" 5
	run -0 qpop -m -n 3 q
	assert_eq "$output" $'1\n2\n3'
	run -0 qctl verify q
}
