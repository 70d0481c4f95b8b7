#!/usr/bin/env bash
# lincheck.sh: how long a verdict takes, and how much memory; SEED.

set -euo pipefail

lincheck=${DSUTILS_BIN:-$(cd "$(dirname "$0")/../.." && pwd)/build/bin}/lincheck
seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# history count clients keys values cas%: by time of taking effect
# values 0: all written values are distinct
history() {
	awk -v n="$1" -v c="$2" -v k="$3" -v v="$4" -v cas="$5" -v seed="$seed" '
	BEGIN {
	    OFS = "\t"
	    srand(seed)
	    for (i = 0; i < n; i++) {
		# Operation i takes effect at time i; c of them overlap.
		s = i - rand() * c / 2
		p = i % c
		if (s < free[p]) s = free[p] + (i - free[p]) * rand() / 10
		e = i + rand() * (c / 2)
		if (e > i + c - 1) e = i + c - 1
		free[p] = e
		x = int(rand() * k)
		key = k > 1 ? x : "-"
		new = v > 0 ? int(rand() * v) : i
		r = rand() * 100
		if (r < cas && x in val) {
			print sprintf("%.6f", s + 100), sprintf("%.6f", e + 100),
			    p, "cas", key, val[x] " " new, "-", "ok"
			val[x] = new
		} else if (r < 50) {
			print sprintf("%.6f", s + 100), sprintf("%.6f", e + 100),
			    p, "write", key, new, "-", "ok"
			val[x] = new
		} else {
			print sprintf("%.6f", s + 100), sprintf("%.6f", e + 100),
			    p, "read", key, "-", (x in val) ? val[x] : "-", "ok"
		}
	    }
	}'
}

# The same as events: EDN or JSON.
events() {
	awk -F '\t' -v json="$1" '
	{
		v = $6 == "-" ? "nil" : $6; r = $4 == "read" ? $7 : $6
		if (r == "-") r = "nil"
		if (json) { gsub("nil", "null", v); gsub("nil", "null", r) }
		print $1, 0, $3, "invoke", $4, v
		print $2, 1, $3, "ok", $4, r
	}' | sort -g -k 1,1 -k 2,2 | awk -v json="$1" '{
		printf json ? "{\"process\":%s,\"type\":\"%s\",\"f\":\"%s\",\"value\":%s}\n" : \
		    "{:process %s, :type :%s, :f :%s, :value %s}\n", $3, $4, $5, $6
	}'
}

# What is measured is a verdict; -J tells the states without printing an order.
measure() {
	local what=$1 file=$2 json
	json=$(/usr/bin/env time -q -f '%e %M %U %S' -o took "$lincheck" -J \
	    "$file") || [ $? -eq 1 ]
	printf '%-46s %-16s %6s s, cpu %5.2f s %4d MiB %8d states\n' "$what" \
	    "$(sed -E 's/.*"verdict":"([a-z-]+)".*/\1/' <<<"$json")" \
	    "$(cut -d ' ' -f 1 took)" \
	    "$(awk '{ print $3 + $4 }' took)" \
	    $(($(cut -d ' ' -f 2 took) / 1024)) \
	    "$(sed -E 's/.*"states":([0-9]+).*/\1/' <<<"$json")"
}

/usr/bin/env time true 2>/dev/null || {
	echo 'bench/lincheck: no time(1), skipped'
	exit 0
}
history 1000000 10 1 0 0 >register.tsv
events 0 <register.tsv >register.edn
events 1 <register.tsv >register.json
measure '1,000,000 register operations, intervals' register.tsv
measure '1,000,000 register operations, EDN' register.edn
measure '1,000,000 register operations, JSON' register.json
history 100000 10 100 5 25 >cas.tsv
measure '100,000 cas operations, 100 keys, 10 clients' cas.tsv
history 100000 10 1 5 25 >cas1.tsv
measure '100,000 cas operations, 1 key, 10 clients' cas1.tsv
history 100000 10 1 5 0 >repeated.tsv
measure '100,000 register operations, 5 values' repeated.tsv
# The same with three reads behind it that cannot be.
{
	cat repeated.tsv
	for i in 1 2 3; do
		printf '%d\t%d\tr\tread\t-\t-\t%d\tok\n' $((200000 + 2 * i)) \
		    $((200001 + 2 * i)) "$i"
	done
} >violated.tsv
measure '  and a violation at its end, explained' violated.tsv

# What search is known to choke on.
for open in 30 300; do
	{
		for ((i = 1; i <= open; i++)); do
			printf '1\t-\tx%d\twrite\t-\t%d\t-\tinfo\n' "$i" $((i % 5))
		done
		for ((i = 10; i < 60; i++)); do
			printf '%d\t%d.5\tr\tread\t-\t-\t%d\tok\n' "$i" "$i" \
			    $((i / 10 % 5))
		done
	} >open.tsv
	measure "$open open writes of 5 values, read late" open.tsv
	printf '70\t71\tr\tread\t-\t-\t9\tok\n' >>open.tsv
	measure '  and one read of something else' open.tsv
done
{
	for ((i = 1; i <= 40; i++)); do
		printf '1\t-\tx%d\tcas\t-\t%d %d\t-\tinfo\n' "$i" $((i % 5)) \
		    $(((i + 1) % 5))
	done
	printf '0\t0.5\ta\twrite\t-\t0\t-\tok\n'
	for ((i = 10; i < 30; i++)); do
		printf '%d\t%d.5\tr\tread\t-\t-\t%d\tok\n' "$i" "$i" $((i % 5))
	done
} >chain.tsv
measure '40 open cas in a ring, a read for each step' chain.tsv
{
	for ((i = 1; i <= 64; i++)); do
		printf '1\t2\tp%d\tappend\tx\t<%d>\t-\tok\n' "$i" "$i"
	done
	printf '3\t4\tr\tget\tx\t-\t'
	for ((i = 64; i >= 1; i--)); do printf '<%d>' "$i"; done
	printf '\tok\n'
} >appends.tsv
measure '64 appends at once and one read of all' appends.tsv
