#!/usr/bin/env bash
# raft.sh: puts and gets of three nodes, raftnode beside etcd-server, in one
# run on one machine: 100-byte values, CLIENTS (1 16 64 256) that wait for each
# answer, and a pipelined row.  Columns: per second, p50 and p99 in ms, for
# both, and how many times etcd's rate ours is.  Then failover, and memory.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
clients=${CLIENTS:-1 16 64 256} seconds=${SECONDS_EACH:-3}
PATH=$(cd "${DSUTILS_BIN:-$root/build/bin}" && pwd):$PATH
if ! command -v raftnode >/dev/null; then
	echo 'bench/raft: no raftnode, skipped'
	exit 0
fi
PATH=$PATH:$("$root/tests/peers.sh" redis-tools etcd-server)
work=$(mktemp -d)
export RAFT_DIR=$work/raft
pids=()
finish() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	rm -rf "$work"
}
trap finish EXIT

GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$root/build/gocache \
    go build -o "$work/etcd_load" "$root/tests/bench/raft_etcd.go"

start_node() {
	raftnode -q -C "$RAFT_DIR" -i "$1" >"$work/out.$1" 2>>"$work/err" &
	node_pid[$1]=$!
	pids+=($!)
	until grep -qs ready "$work/out.$1"; do sleep 0.01; done
}

raftctl init -n 3
for i in 1 2 3; do start_node $i; done
raftctl -W 10 wait
leader() { raftctl status | awk '$2 == "leader" { print $1 }'; }

peers=
for i in 1 2 3; do peers+=${peers:+,}e$i=http://127.0.0.1:$((23900 + i)); done
for i in 1 2 3; do
	etcd --name e$i --data-dir "$work/e$i" \
	    --listen-peer-urls "http://127.0.0.1:$((23900 + i))" \
	    --initial-advertise-peer-urls "http://127.0.0.1:$((23900 + i))" \
	    --listen-client-urls "http://127.0.0.1:$((23800 + i))" \
	    --advertise-client-urls "http://127.0.0.1:$((23800 + i))" \
	    --initial-cluster "$peers" >"$work/etcd.$i" 2>&1 &
	pids+=($!)
done
ends=http://127.0.0.1:23801,http://127.0.0.1:23802,http://127.0.0.1:23803
until "$work/etcd_load" "$ends" put 1 10 >/dev/null 2>&1; do sleep 0.1; done
# The leader's own clients only, as ours are.
for i in 1 2 3; do
	if curl -s "http://127.0.0.1:$((23800 + i))/metrics" 2>/dev/null |
	    grep -q '^etcd_server_is_leader 1'; then
		ends=http://127.0.0.1:$((23800 + i))
	fi
done

# command clients pipeline -> rate p50 p99
ours() {
	local csv n=$4
	csv=$(redis-benchmark -s "$RAFT_DIR/$(leader)/client" -t "$1" -d 100 \
	    -r 10000 -c "$2" -P "$3" -n "$n" --csv | tail -n 1 | tr -d '"')
	cut -d, -f 2,5,7 <<<"$csv" | tr , ' '
}

row() {	# title ours-command etcd-command clients pipeline guess
	local a b n
	read -ra a < <(ours "$2" "$4" "$5" "$6")
	n=$(awk -v r="${a[0]}" -v s="$seconds" 'BEGIN { printf "%d", r * s }')
	read -ra a < <(ours "$2" "$4" "$5" "$n")
	if [ "$3" = - ]; then
		printf '%-22s %9.0f %8s %8s\n' "$1" "${a[@]}"
		return
	fi
	read -ra b < <("$work/etcd_load" "$ends" "$3" "$4" $(($4 * 40)))
	n=$(awk -v r="${b[0]}" -v s="$seconds" 'BEGIN { printf "%d", r * s }')
	read -ra b < <("$work/etcd_load" "$ends" "$3" "$4" "$n")
	printf '%-22s %9.0f %8s %8s %9.0f %8s %8s %7.1f\n' "$1" "${a[@]}" \
	    "${b[@]}" "$(awk -v a="${a[0]}" -v b="${b[0]}" 'BEGIN { print a / b }')"
}

printf '%-22s %9s %8s %8s %9s %8s %8s %7s\n' '' raftnode p50 p99 etcd p50 p99 times
for c in $clients; do
	row "put, $c clients" set put "$c" 1 $((c * 100 + 400))
done
row 'put, 64 x 32 piped' set - 64 32 20000
for c in $clients; do
	row "get linear, $c" get get "$c" 1 $((c * 100 + 400))
done

echo
awk '/VmRSS/ { printf "memory: %d kB", $2 }' "/proc/${node_pid[1]}/status"
echo ' in n1 after the load'
printf 'failover (kill -9 of the leader to the next put), ms:'
for _ in $(seq 20); do
	l=$(leader)
	kill -KILL "${node_pid[${l#n}]}"
	begin=$(date +%s%N)
	raftctl -W 10 put failover 1
	printf ' %d' $((($(date +%s%N) - begin) / 1000000))
	start_node "${l#n}"
	until [ "$(raftctl status | grep -c follower)" -eq 2 ]; do sleep 0.05; done
done
echo
