#!/usr/bin/env bash
# cap-demo.sh: hostile frames and entries under ASan and UBSan, for TIME
# seconds (30), with SEED.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
time=${TIME:-30} seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
read -ra bsd < <(pkg-config --cflags --libs libbsd-overlay)

if ! command -v clang >/dev/null; then
	echo 'fuzz/cap-demo: no clang, skipped'
	exit 0
fi

# A body of each type behind version, type, sender and id.
corpus() {
	local i
	mkdir "$work/corpus"
	for i in $(seq 1 13); do
		printf '\x01'"\\x$(printf %02x "$i")"'\x01\0\x07\0\0\0\0\0\0\0' \
		    >"$work/corpus/$i"
	done
	# QUERY, GET and a STATE with one version.
	printf '\x03k' | tail -c 2 >>"$work/corpus/3"
	printf '\0\xe8\x03\0\0\x01k' >>"$work/corpus/9"
	printf '\x01\0\x01\0\x01\0\0\0\0\0\0\0\x01\0\x01\0\x01\0\0\0\0\0\0\0' >>"$work/corpus/4"
	printf '\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\x01\0\0\0v' >>"$work/corpus/4"
}

clang -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=all -I"$root/lib" -o "$work/fuzzer" \
    "$root/tests/fuzz/cap-demo_wire.c" \
    "$root"/lib/{regwire,dvv,hlc,crc,buf}.c "${bsd[@]}" -lxxhash -lisal
corpus
echo "fuzz/cap-demo: $time s, seed $seed"
(cd "$work" && ./fuzzer -max_total_time="$time" -seed="$seed" \
    -rss_limit_mb=2048 -timeout=20 -max_len=4096 -print_final_stats=1 \
    corpus >log 2>&1) || {
	tail -60 "$work/log"
	cp "$work"/{crash,leak,timeout,oom}-* . 2>/dev/null || :
	exit 1
}
grep -E 'number_of_executed_units|peak_rss' "$work/log"
