#!/usr/bin/env bash
# partsim.sh: hostile verbs and hostile streams under ASan and UBSan, each for
# TIME seconds (30), with SEED.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
time=${TIME:-30} seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
read -ra bsd < <(pkg-config --cflags --libs libbsd-overlay)

if ! command -v clang >/dev/null; then
	echo 'fuzz/partsim: no clang, skipped'
	exit 0
fi

# Words of the grammar, so that not all of the time goes into finding them.
dictionary() {
	grep -hoE '"[a-z-]{2,16}"' "$root"/lib/netctl*.c | sort -u
	printf '"%s"\n' n1 n2 n3 '?' 10ms 1s 20% 0.5 1mbit 100 +0 '#'
}

for fuzzer in partsim_verbs partsim_stream; do
	clang -std=c11 -D_GNU_SOURCE '-DVERSION="fuzz"' -O1 -g \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	    -I"$root/lib" -o "$work/$fuzzer" "$root/tests/fuzz/$fuzzer.c" \
	    "$root"/lib/{link,netctl}*.c \
	    "$root"/lib/{buf,clock,num,sock,exits}.c "${bsd[@]}"
	mkdir "$work/$fuzzer.corpus"
	dictionary >"$work/dictionary"
	if [ "$fuzzer" = partsim_verbs ]; then
		printf '0cut n1 n2\nheal\nassert bit\n' >"$work/$fuzzer.corpus/1"
		printf '1delay all all 5ms jitter 1ms dist exp\nlog -d\n' \
		    >"$work/$fuzzer.corpus/2"
		printf '2at +0s every 1ms repeat 2 partition majority\nchaos 10ms\ndiagram svg\n' \
		    >"$work/$fuzzer.corpus/3"
	else
		printf 'h\003*2\r\n$1\r\na\r\n:2\r\n' >"$work/$fuzzer.corpus/1"
		printf 'f\001one\ntwo\nthree\n' >"$work/$fuzzer.corpus/2"
	fi
	echo "fuzz/partsim: $fuzzer, $time s, seed $seed"
	(cd "$work" && "./$fuzzer" -max_total_time="$time" -seed="$seed" \
	    -dict=dictionary -rss_limit_mb=1024 -timeout=20 -max_len=8192 \
	    -print_final_stats=1 "$fuzzer.corpus" >"$fuzzer.log" 2>&1) || {
		tail -60 "$work/$fuzzer.log"
		cp "$work"/{crash,leak,timeout,oom}-* . 2>/dev/null || :
		exit 1
	}
	grep -E 'number_of_executed_units|peak_rss' "$work/$fuzzer.log"
done
