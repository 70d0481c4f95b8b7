#!/usr/bin/env bash
# lincheck.sh: how long a verdict takes, and how much memory; SEED.

set -euo pipefail

lincheck=${DSUTILS_BIN:+$DSUTILS_BIN/}lincheck
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
	json=$(/usr/bin/env time -f '%e %M' -o took "$lincheck" -J "$file")
	printf '%-46s %-14s %6s s %5d MiB %9d states\n' "$what" \
	    "$(sed -E 's/.*"verdict":"([a-z-]+)".*/\1/' <<<"$json")" \
	    "$(cut -d ' ' -f 1 took)" $(($(cut -d ' ' -f 2 took) / 1024)) \
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
