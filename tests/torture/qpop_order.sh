#!/usr/bin/env bash
# qpop_order.sh: consumers that fail, stop and are killed at random, and an
# oracle that sees every run of every command: per key no two runs overlap, and
# the messages are begun in order, each again until it is acknowledged.
#
# Environment: DSUTILS_BIN the programs (build/bin), TIME seconds (60), SEED.
# Exit status: 0 all good, 1 not; what failed is kept.

set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$(cd "${DSUTILS_BIN:-$root/build/bin}" && pwd):$PATH
export PATH LC_ALL=C
seed=${SEED:-$RANDOM} end=$((SECONDS + ${TIME:-60}))
keys=16 each=25 consumers=4
work=$(mktemp -d)
cd "$work" || exit 73
pids=()

# A consumer that is told to go before it is qpop may run this too.
finish() {
	local pid
	[ "$BASHPID" = $$ ] || return 0
	for pid in "${pids[@]}"; do
		kill -CONT "$pid" 2>/dev/null
		kill -KILL "$pid" 2>/dev/null
	done
	[ -e failed ] && echo "kept: $work" || rm -rf "$work"
}
trap finish EXIT

# A run tells of its begin and its end, also when it is asked to go: it gets
# TERM when its qpop is killed.  One that comes too early is not heard; then the
# run goes on, and the message is its own until it ends.
cat >work <<'WORK'
#!/bin/bash
trap '' TERM
log() { printf '%s %s %s %s\n' "${EPOCHREALTIME/./}" "$1" "$Q_KEY" "$n $2" >>"$dir/log.$$"; }
over() { trap '' TERM; log end "$1"; exit "$2"; }
dir=$1
read -r n
log begin "$Q_ATTEMPT"
trap 'over killed 1' TERM
for ((i = SRANDOM % 200; i > 0; i--)); do :; done
case $((SRANDOM % 12)) in
0)	over failed 1 ;;
1)	over later 75 ;;
2)	# The poison: it kills its consumer, if that still is its parent.
	[ "$(cat /proc/$PPID/comm)" != qpop ] || kill -KILL $PPID ;;
esac
over ok 0
WORK
chmod +x work

# A message whose run was ok comes again only if its qpop was killed before it
# could acknowledge it: at most two of them a kill.
judge() {	# dir kills
	sort -n "$1"/log.* | awk -v n=$each -v keys=$keys -v kills="$2" '
	    function wrong(what) { print what; bad = 1 }
	    $2 == "begin" {
		if (busy[$3] != "")
			wrong($3 ": " busy[$3] " and " $4 " overlap")
		if ($4 == done[$3] && begun[$3] == $4 && okay[$3]) {
			again++
			okay[$3] = 0
		} else if ($4 != done[$3] + okay[$3] &&
		    !($4 == 1 && begun[$3] == 0)) {
			wrong($3 ": " $4 " after " begun[$3] + 0)
		}
		busy[$3] = begun[$3] = $4
		if ($4 > done[$3]) {
			done[$3] = $4
			okay[$3] = 0
		}
		runs++
	    }
	    $2 == "end" {
		if (busy[$3] != $4)
			wrong($3 ": " $4 " ends, not begun")
		busy[$3] = ""
		if ($5 == "ok")
			okay[$3] = 1
		ends[$5]++
	    }
	    END {
		for (k in done) {
			seen++
			if (done[k] != n || !okay[k])
				wrong(k ": only up to " done[k])
		}
		if (seen != keys)
			wrong(seen " keys")
		if (again > 2 * kills)
			wrong(again " came again after " kills " kills")
		printf "%d runs: %d ok, %d failed, %d later, %d killed; " \
		    "%d again after %d kills\n", runs, ends["ok"],
		    ends["failed"], ends["later"], ends["killed"], again, kills
		exit bad
	    }'
}

consumer() {	# slot dir
	qpop -f -q -P 2 -r 0 -B 2ms "$2/q" ./work "$2" 2>>"$2/err" &
	pids[$1]=$!
}

# What holds up what: every process of ours, its threads, the locks.
show() {
	local pid task
	for pid in $(pgrep -f "qpop -f -q -P 2|work $1"); do
		echo "$pid $(grep State "/proc/$pid/status") $(tr '\0' ' ' \
		    <"/proc/$pid/cmdline")"
		for task in /proc/"$pid"/task/*; do
			echo "    $(cat "$task/wchan") $(cat "$task/syscall")"
		done
	done
	cat /proc/locks
} 2>/dev/null

ended() {	# pid
	local i
	for ((i = 0; i < 1000; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.02
	done
	return 1
}

round() {
	local dir=$1 c victim kills=0
	mkdir "$dir"
	for ((n = 1; n <= each; n++)); do
		for ((k = 1; k <= keys; k++)); do echo "key$k:$n"; done
	done | qpush -K : "$dir/q" || return
	for ((c = 0; c < consumers; c++)); do consumer "$c" "$dir"; done
	until [ "$(qdepth "$dir/q")" = 0 ]; do
		[ "$SECONDS" -lt $((end + 60)) ] || { echo "it hangs"; show "$dir"; return 1; }
		victim=$((RANDOM % consumers))
		case $((RANDOM % 4)) in
		0)	kill -KILL "${pids[victim]}" 2>/dev/null ;;
		1)	kill -STOP "${pids[victim]}" 2>/dev/null ;;
		*)	kill -CONT "${pids[@]}" 2>/dev/null ;;
		esac
		sleep 0.0$((RANDOM % 10))
		for ((c = 0; c < consumers; c++)); do
			kill -0 "${pids[c]}" 2>/dev/null && continue
			kills=$((kills + 1))
			consumer "$c" "$dir"
		done
	done
	kill -CONT "${pids[@]}" 2>/dev/null
	kill -TERM "${pids[@]}" 2>/dev/null
	for c in "${pids[@]}"; do
		ended "$c" || { echo "$c does not end"; show "$dir"; return 1; }
	done
	wait "${pids[@]}"
	pids=()
	timeout 60 qctl verify "$dir/q" && judge "$dir" "$kills"
}

for ((r = 1; r == 1 || SECONDS < end; r++)); do
	RANDOM=$seed
	echo "# seed $seed"
	if ! round "round$r" 2>err; then
		qdepth -a "round$r/q"
		cat err "round$r/err" | sort | uniq -c | sort -rn | head -n 20
		touch failed
		exit 1
	fi
	rm -rf "round$r"
	seed=$((seed + 1))
done
