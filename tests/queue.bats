#!/usr/bin/env bats
# The queue between processes: stopped, killed, without disk, in namespaces,
# and with hands in its directory.
# shellcheck disable=SC2016,SC2034,SC2154

bats_require_minimum_version 1.8.0
load helpers
load queue

# Processes that write, stopped or killed inside: SYSCALL:N:SIGNAL cmd ...
# strace is $spawned; the process itself is set by inside.
inject() {
	local call=${1%%:*} rest=${1#*:}
	shift
	spawn env ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" \
	    strace -o trace -e trace="$call" \
	    -e inject="$call:signal=${rest#*:}:when=${rest%%:*}" "$@"
}

# Wait until the process under strace $1 has stopped; $inside is its pid.
stopped_inside() {
	watch=$1 wait_until 10 grep -qs 'stopped by' trace
	watch=''
	inside=$(tr -d ' ' <"/proc/$1/task/$1/children")
}

sound() {	# queue
	run -0 qctl verify "$1"
	assert_eq "$output$stderr" ''
}

lines_in() { [ "$(cat -- "${@:2}" 2>/dev/null | wc -l)" -ge "$1" ]; }

# A new name space of these kinds, or skip.
need_unshare() {
	space=(unshare "$@")
	"${space[@]}" true 2>/dev/null && return
	space=(unshare -r "$@")
	"${space[@]}" true 2>/dev/null || skip 'name spaces are not permitted'
}

@test "queue: processes that are all number 1, in PID namespaces" {
	local pids=() outs=() i
	need_unshare -pf
	qctl create q
	for i in 1 2; do
		spawn "${space[@]}" qpop -f -W 3 -q q
		pids+=("$spawned")
		outs+=("$spawn_out")
		spawn "${space[@]}" sh -c '[ $$ = 1 ] &&
		    exec qpop -f -W 3 q sh -c "cat; echo"'
		pids+=("$spawned")
		outs+=("$spawn_out")
	done
	for i in 1 2 3; do
		seq $((i * 1000)) $((i * 1000 + 299)) >"in.$i"
		spawn "${space[@]}" qpush -q q <"in.$i"
		pids+=("$spawned")
	done
	wait_until 20 lines_in 900 "${outs[@]}"
	for i in "${pids[@]}"; do
		# 1: a consumer for whom nothing was left.
		wait_until 10 dead "$i"
		wait "$i" || [ $? -eq 1 ]
	done
	cat in.* | sort >want
	cat "${outs[@]}" | sort | cmp want
	sound q
}

@test "queue: stopped while it holds the index, others wait and name it" {
	qpush q a b c
	inject pwrite64:1:SIGSTOP qpop q
	local tracer=$spawned out=$spawn_out
	stopped_inside "$tracer"
	run -75 qpop -W 2 q
	assert_match "$stderr" "process $inside holds"
	assert_eq "$output" ''
	spawn qpop q
	local other=$spawned other_out=$spawn_out
	# The number, and what does not ask for an id, go on.
	assert_eq "$(qdepth q)" 3
	qpush q d
	kill -CONT "$inside"
	wait_status 0 "$other"
	wait_status 0 "$tracer"
	assert_eq "$(sort "$out" "$other_out" | paste -sd' ')" 'a b'
	assert_eq "$(qpop -a q | paste -sd' ')" 'c d'
	sound q
}

@test "queue: killed while it is stopped inside, others go on" {
	qpush q a b c
	inject pwrite64:1:SIGSTOP qpop q
	local tracer=$spawned
	stopped_inside "$tracer"
	spawn qpop -a q
	kill -KILL "$inside"
	wait_status 0
	assert_file "$spawn_out" $'a\nb\nc'
	wait_status 137 "$tracer"
	sound q
}

@test "queue: the one that syncs for all is stopped, or killed" {
	local sig
	qpush q first
	for sig in CONT KILL; do
		inject fdatasync:1:SIGSTOP qpush q leader
		local tracer=$spawned
		stopped_inside "$tracer"
		# Another syncs beside it, for both.
		run -0 qpush q follower
		run -0 qpop -a q
		assert_match "$output" $'leader\nfollower$'
		assert_eq "$(qdepth q)" 0
		kill -"$sig" "$inside"
		[ "$sig" = KILL ] || wait_status 0 "$tracer"
		wait_until 10 dead "$tracer"
		run -1 qpop -a q
		rm trace
	done
	sound q
}

@test "queue: killed at every write, the index's too" {
	local n out rest rc
	qctl create q
	for ((n = 1; ; n++)); do
		[ "$n" -lt 60 ]
		qpush -k "k$((n % 3))" q "m$n"
		inject "pwrite64:$n:SIGKILL" qpop q
		rc=0
		wait_until 10 dead "$spawned"
		wait "$spawned" || rc=$?
		out=$(<"$spawn_out")
		[ "$rc" -ne 0 ] || break
		rest=$(qpop q || :)
		# Delivered or not, once more if nobody could know.
		[ "$rest" = "m$n" ] || assert_eq "$out" "m$n" "write $n"
		assert_eq "$(qdepth q)" 0 "kill at write $n"
		sound q
	done
	[ "$n" -gt 5 ]
	assert_eq "$out" "m$n"
}

@test "queue: the index is deleted, and made anew, under load" {
	local i
	qctl create q
	for i in 1 2 3; do
		spawn qpop -f -q -P 2 q sh -c 'echo "$Q_KEY $(cat)" >>"log.$$"'
	done
	for ((i = 1; i <= 30; i++)); do
		for k in a b c d; do echo "$k:$i"; done | qpush -K : q
		case $((i % 3)) in
		0)	rm -f q/index/* ;;
		1)	qctl repair q ;;
		*)	nap ;;
		esac
	done
	qctl close q
	for i in "${spawn_pids[@]}"; do
		wait_status 0 "$i"
	done
	# Each once; sort for uniqueness, since no run was killed.
	for k in a b c d; do
		seq -f "$k %g" 30
	done | sort >want
	cat log.* | sort | cmp want
	sound q
}

@test "queue: on a full disk producers get 75, consumers go on" {
	need_unshare -m
	mkdir disk
	cat >script <<'SCRIPT'
mount -t tmpfs -o size=12m tmpfs disk || exit 99
cd disk
qctl create q 2>/dev/null
n=0
head -c 60000 /dev/zero | tr '\0' x >big
while qpush -q -w q <../big1 2>/dev/null; do n=$((n + 1)); done
qpush -w q <../big1
echo "push $?"
[ "$n" -gt 10 ] && echo some
cat /dev/zero >filler 2>/dev/null
rm -f big
cat /dev/zero >>filler 2>/dev/null
qpop q cat >/dev/null; echo "pop $?"
i=1
while qpop q >/dev/null; do i=$((i + 1)); done
[ "$i" = "$n" ] && echo all
qdepth q
rm -f filler
qctl compact q >/dev/null
qpush q again; echo "push $?"
qpop q
qctl verify q; echo "verify $?"
SCRIPT
	head -c 100000 /dev/zero | tr '\0' x >big1
	run "${space[@]}" sh script
	[ "$status" -ne 99 ] || skip 'cannot mount here'
	assert_eq "$output" $'push 75\nsome\npop 0\nall\n0\npush 0\nagain\nverify 0'
}

@test "queue: with all standard descriptors closed nothing is destroyed" {
	local i
	for i in 1 2 3 4 5; do
		qpush q "m$i" <&- >&- 2>&-
	done
	qpop q <&- >&- 2>&- && false
	qctl compact q <&- >&- 2>&- || :
	qdepth -S ready q <&- >&- 2>&- || :
	sound q
	assert_eq "$(qpop -a q | paste -sd' ')" 'm1 m2 m3 m4 m5'
}

@test "queue: a reset ends the claim of who lives, its key stays blocked" {
	printf '%s\n' k:1 k:2 | qpush -K : q
	qpop q >/dev/null
	mkfifo gate
	spawn qpop q sh -c 'echo >up; read -r x <gate'
	wait_until 10 test -e up
	run -0 qctl group reset q main from=oldest
	assert_eq "$(qdepth q)" 2
	run -1 qpop q cat
	echo >gate
	wait_until 10 dead "$spawned"
	# Its acknowledgement changed nothing.
	assert_eq "$(qpop -a q | paste -sd' ')" '1 2'
	sound q
}

@test "queue: a stream and a command do not share a key" {
	head -c 200000 /dev/zero | tr '\0' x | qpush -w -k k q
	qpush -k k q second
	qpush -k other q third
	mkfifo pipe gate
	spawn sh -c 'qpop q >pipe'
	exec 9<pipe
	wait_until 10 test -n "$(until qctl peek -S in-flight q | head -c 1 |
	    grep -q x; do nap; done; echo x)"
	run -0 qpop q cat
	assert_eq "$output" third
	run -1 qpop q cat
	cat <&9 >got
	exec 9<&-
	wait_status 0
	assert_eq "$(wc -c <got)" 200001
	run -0 qpop q cat
	assert_eq "$output" second

	# And the other way round.
	printf '%s\n' k:1 k:2 o:3 | qpush -K : q
	spawn qpop q sh -c 'echo >up; read -r x <gate'
	wait_until 10 test -e up
	run -0 qpop -a q
	assert_eq "$output" 3
	echo >gate
	wait_status 0
	run -0 qpop -a q
	assert_eq "$output" 2
	sound q
}

@test "queue: a holder deleted by hand: the message stays taken" {
	qpush q one
	mkfifo gate
	spawn qpop q sh -c 'echo >up; read -r x <gate'
	wait_until 10 test -e up
	rm q/holders/*
	run -1 qpop q cat
	assert_eq "$(qctl peek -S in-flight q)" one
	echo >gate
	wait_status 0
	assert_eq "$(qdepth q)" 0

	# Nobody can tell any more that it is dead: it is freed by hand.
	qpush q two
	rm up
	spawn qpop q sh -c 'echo >up; read -r x <gate'
	wait_until 10 test -e up
	rm q/holders/*
	kill -KILL "$spawned"
	wait_until 10 dead "$spawned"
	run -1 qpop q cat
	run -0 qctl nack --force q "$(qctl peek -J q | sed -E \
	    's/.*"seq":([0-9]+).*/\1/')"
	run -0 qpop q cat
	assert_eq "$output" two
	sound q
}
