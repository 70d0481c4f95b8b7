#!/usr/bin/env bash
# lincheck.sh: hostile histories under ASan and UBSan, read and judged, for
# TIME seconds (30), with SEED.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
time=${TIME:-30} seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
read -ra bsd < <(pkg-config --cflags --libs libbsd-overlay)

if ! command -v clang >/dev/null; then
	echo 'fuzz/lincheck: no clang, skipped'
	exit 0
fi

# Words of the formats and of the models.
dictionary() {
	grep -hoE '"[a-z-]{1,16}"' "$root"/lib/{hist*,linz_bind}.c | sort -u
	printf '"%s"\n' '{:process ' ':type :invoke' ':type :ok' ':type :info' \
	    ':f :' ':value ' '#_' '#{' '[:r 1 ' '\\t-\\t' '\\tok\\n' '{\\"'
}

# A small history of each format; the two bytes before it choose nothing.
corpus() {
	local i=0 text
	mkdir "$work/corpus"
	while IFS= read -r text; do
		for byte in '\000' '\010' '\040' '\060'; do
			i=$((i + 1))
			printf "$byte"'\031%b' "$text" >"$work/corpus/$i"
		done
	done <<-'END'
	{:process 0 :type :invoke :f :write :value 1}{:process 0 :type :ok :f :write :value 1}{:process 1 :type :invoke :f :read}{:process 1 :type :ok :f :read :value 2}
	[{"process":0,"type":"invoke","f":"cas","value":[1,2]},{"process":0,"type":"info","f":"cas","value":[1,2]},{"process":1,"type":"invoke","f":"read"},{"process":1,"type":"ok","f":"read","value":2}]
	INFO x - 0\t:invoke\t:cas\t[3 0]\nINFO x - 0\t:ok\t:cas\t[3 0]\n
	0\t:invoke\t:read\tnil\n0\t:ok\t:read\t3\n
	1\t2\tp\tenqueue\t-\t1\t-\tok\n1.5\t3\tq\tdequeue\t-\t-\t1\tok\n4\t-\tq\tdequeue\t-\t-\t-\tinfo\n
	1\t2\tp\tadd\tk\t1\t-\tok\n3\t4\tq\tread\tk\t-\t1\\n2\tok\n0\t-\tr\tadd\tk\t2\t-\tinfo\n
	1\t2\tp\tappend\tk\t1\t0\tok\n3\t4\tq\tread\tk\t-\t1 2\tok\n0\t-\tr\tappend\tk\t2\t-\tinfo\n
	1\t2\tp\tappend\tk\tab\t-\tok\n3\t4\tq\tget\tk\t-\tab\tok\n0\t9\tr\tput\tk\tx\t-\tok\n5\t6\tr\tdel\tk\t-\t-\tok\n
	1\t2\tp\tacquire\t-\t-\t-\tok\n3\t4\tp\trelease\t-\t-\t-\tok\n0\t-\tr\tacquire\t-\t-\t-\tinfo\n
	{:process 0 :type :invoke :f :txn :value [[:w 1 2] [:r 2 nil]]}{:process 0 :type :ok :f :txn :value [[:w 1 2] [:r 2 3]]}
	END
}

clang -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=all -I"$root/lib" -o "$work/fuzzer" \
    "$root/tests/fuzz/lincheck_history.c" "$root"/lib/{op,hist,linz}*.c \
    "$root"/lib/{buf,clock}.c "${bsd[@]}" -lxxhash -ljson-c
dictionary >"$work/dictionary"
corpus
echo "fuzz/lincheck: $time s, seed $seed"
(cd "$work" && ./fuzzer -max_total_time="$time" -seed="$seed" \
    -dict=dictionary -rss_limit_mb=2048 -timeout=20 -max_len=4096 \
    -print_final_stats=1 corpus >log 2>&1) || {
	tail -60 "$work/log"
	cp "$work"/{crash,leak,timeout,oom}-* . 2>/dev/null || :
	exit 1
}
grep -E 'number_of_executed_units|peak_rss' "$work/log"
