#!/usr/bin/env bash
# partsim.sh: what a hop through partsim costs, beside the same hop through
# socat and none at all, in one run; then what it holds and how fast it answers
# under load.  Median of RUNS (5).  TIME is taken as given by SIZE bytes.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
runs=${RUNS:-5} size=${SIZE:-1073741824} trips=${TRIPS:-20000}
PATH=$(cd "${DSUTILS_BIN:-$root/build/bin}" && pwd):$PATH
PATH=$PATH:$("$root/tests/peers.sh" socat)
work=$(mktemp -d)
cd "$work"
export PARTSIM_NET=$work/net
pids=()
finish() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	rm -rf "$work"
}
trap finish EXIT

peer=$work/peer
"${CC:-cc}" -O2 -D_GNU_SOURCE -o "$peer" "$root/tests/bench/partsim_peer.c"

start() {	# command ...: until it says ready
	local out=out.${#pids[@]}
	"$@" >"$out" &
	pids+=($!)
	until grep -qs ready "$out"; do
		kill -0 $!
		sleep 0.01
	done
}

peer() { "$peer" "$@"; }

bulk() {	# via to
	local pid out
	"$peer" drain "$2" >drained &
	pid=$!
	until grep -qs ready drained; do sleep 0.01; done
	peer source "$1" "$size"
	wait "$pid"
	sed -n 's/.*, \([0-9]*\) MB.*/\1/p' drained
	rm drained
}

median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }

# measure JOB: in turns, so that what disturbs one hop disturbs all of them.
hops=()
hop() { hops+=("$1|$2|$3|$4"); }	# title via to echo-via
measure() {
	local i hop title via to echo
	rm -f bulk.* rtt.*
	for ((i = 0; i < runs; i++)); do
		for hop in "${hops[@]}"; do
			IFS='|' read -r title via to echo <<<"$hop"
			[ "$1" = rtt ] || bulk "$via" "$to" >>"bulk.${title// /_}"
			peer rtt "$echo" "$trips" >>"rtt.${title// /_}"
		done
	done
	for hop in "${hops[@]}"; do
		title=${hop%%|*}
		printf '%-22s %8s %10s %10s\n' "$title" \
		    "$([ "$1" = rtt ] || median <"bulk.${title// /_}")" \
		    "$(cut -d' ' -f1 "rtt.${title// /_}" | median)" \
		    "$(cut -d' ' -f2 "rtt.${title// /_}" | median)"
	done
}

port=$((10000 + $$ * 7 % 1100 * 20))
tcp() { printf 'tcp:127.0.0.1:%d' $((port + $1)); }

start partsim up -n 15
net=${pids[-1]}
partsim -q link n1 n2 listen "$(tcp 1)" to "$(tcp 0)"
partsim -q link n1 n2 listen "$(tcp 3)" to "$(tcp 2)"
partsim -q link n1 n2 listen "unix:$work/net/p" to "unix:$work/sink"
start "$peer" echo "$work/net/n2/raft"
start "$peer" echo "$(tcp 2)"
socat "UNIX-LISTEN:$work/s1,fork" "UNIX-CONNECT:$work/sink" &
pids+=($!)
socat "UNIX-LISTEN:$work/s2,fork" "UNIX-CONNECT:$work/net/n2/raft" &
pids+=($!)
socat "TCP-LISTEN:$((port + 4)),fork,reuseaddr,nodelay" \
    "TCP-CONNECT:127.0.0.1:$port,nodelay" &
pids+=($!)
socat "TCP-LISTEN:$((port + 5)),fork,reuseaddr,nodelay" \
    "TCP-CONNECT:127.0.0.1:$((port + 2)),nodelay" &
pids+=($!)
socat -b 65536 "UNIX-LISTEN:$work/s3,fork" "UNIX-CONNECT:$work/sink" &
pids+=($!)
socat -b 65536 "TCP-LISTEN:$((port + 6)),fork,reuseaddr,nodelay" \
    "TCP-CONNECT:127.0.0.1:$port,nodelay" &
pids+=($!)
until [ -S s1 ] && [ -S s2 ] && [ -S s3 ]; do sleep 0.01; done
sleep 0.2

printf '%-22s %8s %10s %10s\n' hop MB/s 'median us' '99% us'
hop 'Unix, direct' "$work/sink" "$work/sink" "$work/net/n2/raft"
hop 'Unix, partsim' "$work/net/p" "$work/sink" "$work/net/n1/to/n2"
hop 'Unix, socat' "$work/s1" "$work/sink" "$work/s2"
hop 'Unix, socat -b 65536' "$work/s3" "$work/sink" "$work/s2"
hop 'TCP, direct' "$(tcp 0)" "$(tcp 0)" "$(tcp 2)"
hop 'TCP, partsim' "$(tcp 1)" "$(tcp 0)" "$(tcp 3)"
hop 'TCP, socat' "$(tcp 4)" "$(tcp 0)" "$(tcp 5)"
hop 'TCP, socat -b 65536' "$(tcp 6)" "$(tcp 0)" "$(tcp 5)"
measure all

# The same on one processor: what a hop computes, without waking up others.
if command -v taskset >/dev/null; then
	for pid in "${pids[@]}"; do taskset -apc 0 "$pid" >/dev/null; done
	peer() { taskset -c 0 "$peer" "$@"; }
	printf '\n%-22s %8s %10s %10s\n' 'one processor' '' 'median us' '99% us'
	measure rtt
	for pid in "${pids[@]}"; do
		taskset -apc "0-$(($(nproc) - 1))" "$pid" >/dev/null
	done
	peer() { "$peer" "$@"; }
fi

# 210 links, 2,000 connections over all of them, each used twice; then all cut
# and used again.  Each number is the most the process ever had in memory.
links=''
for a in {1..15}; do
	[ "$a" = 2 ] || start "$peer" echo "$work/net/n$a/raft"
	for b in {1..15}; do
		[ "$a" = "$b" ] || links+=,$work/net/n$a/to/n$b
	done
done
mkfifo in
"$peer" many "${links#,}" 2000 <in >many &
pids+=($!)
exec 8>in
echo >&8
echo >&8
until grep -q 'round 2: 2000' many; do sleep 0.05; done
printf '\n2,000 connections, 210 links: %s\n' \
    "$(sed -n 's/^VmHWM:[ \t]*//p' "/proc/$net/status")"
partsim -q cut all all
echo >&8
partsim -q wait bit within 10s
partsim -q heal
until grep -q 'round 3: 2000' many; do sleep 0.05; done
printf 'the same, cut, held and healed: %s\n' \
    "$(sed -n 's/^VmHWM:[ \t]*//p' "/proc/$net/status")"
exec 8>&-

# Answers while all connections send all they can, and while two transfers do.
answers() { printf 'an answer, %s, median, 99%%, longest, us: %s\n' "$1" \
	    "$(peer ask "$work/net/control" seed 500)"; }
start "$peer" sink "$work/drain"
partsim -q link n1 n2 listen "unix:$work/net/q" to "unix:$work/drain"
start "$peer" flood "$work/net/q" 2000
flood=${pids[-1]}
partsim -q wait conns n1 n2 2000 within 20s
answers '2,000 connections that send'
printf 'the same: %s\n' "$(sed -n 's/^VmHWM:[ \t]*//p' "/proc/$net/status")"
kill "$flood"
for i in 0 1; do
	"$peer" drain "$(tcp $((8 + i)))" >"d$i" &
	pids+=($!)
	until grep -qs ready "d$i"; do sleep 0.01; done
	partsim -q link n1 n2 listen "$(tcp $((10 + i)))" to "$(tcp $((8 + i)))"
	"$peer" source "$(tcp $((10 + i)))" 1000000000000 2>/dev/null &
	pids+=($!)
done
answers 'two transfers'
