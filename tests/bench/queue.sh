#!/usr/bin/env bash
# queue.sh: the queue beside redis-server, beanstalkd, cat and xargs, in one
# run, each peer with its best pipelining.  Median of RUNS (5) turns taken in
# alternation; N (1000000) messages of 100 bytes for what is fast, parts of it
# for what is slow; DEEP (10000000) for the deep queue, 0 leaves it out.
# WORK names the directory, to be on the disk that is meant.  Redis and
# beanstalkd with a sync for each answer ("always", -f 0) are the peers with
# the same promise; "everysec" may lose a second of what it answered.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
runs=${RUNS:-5} n=${N:-1000000} deep=${DEEP:-10000000}
PATH=$(cd "${DSUTILS_BIN:-$root/build/bin}" && pwd):$PATH
PATH=$PATH:$("$root/tests/peers.sh" redis-server beanstalkd)
for prog in qpush qpop qdepth qctl; do
	command -v "$prog" >/dev/null || {
		echo "bench/queue: no $prog, skipped"
		exit 0
	}
done
mkdir -p "${WORK:=$root/build}"
work=$(mktemp -d "$WORK/bench.XXXXXX")
server=''
finish() {
	server_down
	rm -rf "$work"
}
trap finish EXIT
cd "$work"
export LC_ALL=C

: "${CC:=cc}"
read -ra bsd < <(pkg-config --cflags libbsd-overlay)
read -ra libs < <(pkg-config --libs libbsd-overlay)
"$CC" -O2 -D_GNU_SOURCE -o peer "$root/tests/bench/queue_peer.c"
"$CC" -O2 -D_GNU_SOURCE -o timer "$root/tests/bench/queue_time.c"
"$CC" -O2 -std=c11 -D_GNU_SOURCE -I"$root/lib" "${bsd[@]}" -pthread -o take \
    "$root/tests/bench/queue_take.c" "$root/build/obj-bin/libcommon.a" \
    -llmdb -lisal -lxxhash -ljson-c -lresolv -lmd -lm "${libs[@]}"
peer=$work/peer timer=$work/timer

# --- input --------------------------------------------------------------------

lines() {	# how many, of 100 bytes with the newline
	seq -f '%099.0f' "$1"
}
some=$((n / 4)) few=$((n / 50))
lines "$n" >many
head -n "$some" many >some
head -n "$few" many >few

# --- servers --------------------------------------------------------------------

server_down() {
	[ -n "$server" ] || return 0
	kill "$server" 2>/dev/null || :
	wait "$server" 2>/dev/null || :
	server=''
	rm -rf data sock
}

up() {	# command ...
	"$@" >server.log 2>&1 &
	server=$!
	until [ -S sock ]; do
		kill -0 "$server"
		sleep 0.01
	done
}

redis() {	# appendfsync
	server_down
	mkdir data
	up redis-server --unixsocket "$work/sock" --port 0 --save '' \
	    --appendonly yes --appendfsync "$1" \
	    --auto-aof-rewrite-percentage 0 --dir "$work/data"
}

beanstalk() {	# milliseconds between syncs
	server_down
	mkdir data
	up beanstalkd -l "unix:$work/sock" -b data -f "$1"
}

# --- one figure each ----------------------------------------------------------------

rate() {	# messages command ...: how many a second
	local count=$1 begin=$EPOCHREALTIME
	shift
	"$@" >/dev/null
	awk -v b="$begin" -v e="$EPOCHREALTIME" -v n="$count" \
	    'BEGIN { printf "%.0f\n", n / (e - b) }'
}

# The servers are up before their time begins; so is the queue.
fresh() {
	rm -rf q copy
	qctl create q
}

push_file() { fresh; rate "$n" qpush q <many; [ "$(qdepth q)" -eq "$n" ]; }
push_pipe() { fresh; rate "$n" sh -c 'cat many | qpush q'; }
push_cat() { fresh; rate "$n" sh -c 'cat many >copy && sync copy'; }
push_redis() { redis "$1"; "$peer" redis-push sock "$2" 2>&1; }
push_bst() { beanstalk "$1"; "$peer" bst-push sock few 2>&1; }

filled() { fresh; qpush q <"${1:-many}"; }
pop_file() {
	filled
	rate "$n" sh -c 'qpop -a q >got'
	cmp got many
}
pop_null() { filled; rate "$n" qpop -a q; }
pop_redis() {
	redis "$1"
	"$peer" redis-push sock some 2>/dev/null
	{ "$peer" redis-pop sock "$some" 1000 >/dev/null; } 2>&1
}
pop_bst() {
	beanstalk "$1"
	"$peer" bst-push sock few 2>/dev/null
	{ "$peer" bst-pop sock "$few" "$2" >/dev/null; } 2>&1
}

one_take() { filled few; { ./take q "$few" >/dev/null; } 2>&1; }
one_redis() {
	redis "$1"
	"$peer" redis-push sock few 2>/dev/null
	{ "$peer" redis-pop sock "$few" 1 >/dev/null; } 2>&1
}

message=$(head -n 1 few)
once_push() { "$timer" each 200 qpush q "$message" 2>&1; }
once_append() { "$timer" each 200 "$timer" append copy 2>&1; }
crowd_push() { fresh; "$timer" crowd 400 "$1" qpush q "$message" 2>&1; }
crowd_append() {
	fresh
	"$timer" crowd 400 "$1" "$timer" append copy 2>&1
}

streams() {	# count command ...: so many at once, each its part of the input
	local count=$1 i pids=()
	shift
	for ((i = 0; i < count; i++)); do
		"$@" "part.$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
}
parts() { rm -f part.*; split -d -a 2 -n "l/$1" many part.0; renumber; }
renumber() {
	local file i=0
	for file in part.0??; do
		mv "$file" "part.$i"
		i=$((i + 1))
	done
}
# shellcheck disable=SC2317	# called through streams
stream_push() { qpush q <"$1"; }
# shellcheck disable=SC2317
stream_redis() { "$peer" redis-push sock "$1" 2>/dev/null; }
streams_push() {
	fresh
	rate "$n" streams "$1" stream_push
	[ "$(qdepth q)" -eq "$n" ]
}
streams_redis() { redis "$2"; rate "$n" streams "$1" stream_redis; }

wake_q() { fresh; "$timer" wake 500 q 2>&1; }
wake_redis() { redis "$1"; "$peer" redis-wake sock 500 2>&1; }

run_q() { filled few; rate 4000 qpop -a -n 4000 -P 2 q true; }
run_xargs() { rate 4000 sh -c 'head -n 4000 few | xargs -P 2 -n 1 true'; }

# --- side by side ----------------------------------------------------------------------

fail() {	# what, file: its figures so far, and what it said
	echo "bench/queue: $1 failed: $(tail -n 1 "$2")" >&2
	exit 1
}

median() { sort -g | sed -n "$(((runs + 1) / 2))p"; }

# title, wanted ratio (at least N, at most N, or -), ours, peer
compare() {
	local title=$1 want=$2 ours=$3 theirs=$4 i
	: >ours.txt
	: >theirs.txt
	for ((i = 0; i < runs; i++)); do
		$ours >>ours.txt || fail "$ours" ours.txt
		$theirs >>theirs.txt || fail "$theirs" theirs.txt
	done
	server_down
	awk -v title="$title" -v want="$want" -v a="$(median <ours.txt)" \
	    -v b="$(median <theirs.txt)" 'BEGIN {
		ratio = b > 0 ? a / b : 0
		split(want, w, " ")
		met = w[1] == ">=" ? ratio >= w[2] + 0 : ratio <= w[2] + 0
		verdict = want == "-" ? "" : met ? "met" : "MISSED"
		printf "%-47s %10d %10d %7.2f %7s %s\n", title, a, b, ratio,
		    want, verdict
	}'
}

heading() { printf '\n%-47s %10s %10s %7s %7s\n' "$1" ours peer ratio target; }

heading 'stream push, durable, messages/s'
compare 'a file; Redis XADD always' '>= 10' push_file 'push_redis always some'
compare 'a file; Redis XADD everysec' '>= 5' push_file 'push_redis everysec many'
compare 'a pipe; Redis XADD always' '>= 10' push_pipe 'push_redis always some'
compare 'a file; beanstalkd -f 0' - push_file 'push_bst 0'
compare 'a file; beanstalkd -f 50' - push_file 'push_bst 50'
compare 'a file; cat and sync' - push_file push_cat

heading 'stream pop with acks, messages/s'
compare 'to a file; Redis XREADGROUP+XACK always' '>= 10' pop_file \
    'pop_redis always'
compare 'to a file; XREADGROUP+XACK everysec' '>= 10' pop_file \
    'pop_redis everysec'
compare 'to /dev/null; XREADGROUP+XACK everysec' '>= 10' pop_null \
    'pop_redis everysec'
compare 'to a file; beanstalkd -f 50' - pop_file 'pop_bst 50 1000'

heading 'one at a time, taken and acknowledged/s'
compare 'Redis XREADGROUP+XACK always' - one_take 'one_redis always'
compare 'Redis XREADGROUP+XACK everysec' - one_take 'one_redis everysec'
compare 'beanstalkd -f 50 reserve, delete' - one_take 'pop_bst 50 1'

heading 'one durable push, a process each, us'
fresh
compare 'spawn, append, fdatasync' '<= 1.5' once_push once_append
heading 'the same, several at once, pushes/s'
for crowd in 1 4 16; do
	compare "$crowd at once; append, fdatasync" - "crowd_push $crowd" \
	    "crowd_append $crowd"
done
if command -v strace >/dev/null; then
	fresh
	strace -f -c -o syncs -e trace=fdatasync,fsync \
	    "$timer" crowd 1000 16 qpush q "$message" 2>/dev/null
	awk '$NF ~ /sync$/ { n += $4 } END {
		printf "%-47s %10d\n", "syncs of 1000 pushes, 16 at once", n
	}' syncs
fi
heading 'several producers, streams, messages/s'
for crowd in 1 4 16; do
	parts "$crowd"
	compare "$crowd; Redis XADD everysec" - "streams_push $crowd" \
	    "streams_redis $crowd everysec"
done

heading 'a waiting consumer, median us from stored'
compare 'Redis XREADGROUP BLOCK, everysec' - wake_q 'wake_redis everysec'
awk -v us="$(median <ours.txt)" 'BEGIN {
	printf "%-47s %10d %10s %7s %7s %s\n", "within 200 us of its commit",
	    us, "", "", "<= 200", us <= 200 ? "met" : "MISSED" }'

heading 'a command a message, commands/s'
compare 'qpop -P2 q true; xargs -P2 -n1 true' '>= 0.8' run_q run_xargs

[ "$deep" -gt 0 ] || exit 0
fresh
printf '\na queue of %d messages\n' "$deep"
lines "$deep" >deep
private() {	# title command ...: its memory, and what it printed
	local title=$1 kib
	shift
	kib=$({ "$timer" memory "$@" >/dev/null; } 2>&1)
	printf '%-47s %10d KiB private, at most 32768: %s\n' "$title" "$kib" \
	    "$([ "$kib" -le 32768 ] && echo met || echo MISSED)"
}
quick() {	# title command ...
	local title=$1 us
	shift
	us=$({ "$timer" each 21 "$@" >/dev/null; } 2>&1)
	printf '%-47s %10d us, at most 20000: %s\n' "$title" "$us" \
	    "$([ "$us" -le 20000 ] && echo met || echo MISSED)"
}
private 'qpush of all of it' qpush q <deep
quick 'qdepth' qdepth q
quick 'qpop of one' qpop q
quick 'qpush of one' qpush q one
printf '%-47s %10d\n' 'depth' "$(qdepth q)"
private 'qpop of all of it' qpop -a q
printf '%-47s %10d\n' 'depth' "$(qdepth q)"
