#!/usr/bin/env bash
# qpush.sh: hostile records and hostile JSON under ASan and UBSan, for TIME
# seconds (30), with SEED.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
time=${TIME:-30} seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
read -ra bsd < <(pkg-config --cflags --libs libbsd-overlay)

if ! command -v clang >/dev/null; then
	echo 'fuzz/qpush: no clang, skipped'
	exit 0
fi

dictionary() {
	printf '"%s"\n' '\"payload\":\"' '\"payload_b64\":\"' '\"key\":\"' \
	    '\"key_b64\":\"' '\"id\":\"' '\"id_b64\":\"' '\"ts\":\"' \
	    '\"due\":\"' 2026-11-23T10:00:00.5Z +01:00 '\\u0000' '\\ud800' \
	    'YQ==' '\x00\x00\x00\x02'
}

corpus() {
	mkdir "$work/corpus"
	printf '\000\001a\n\nbc' >"$work/corpus/lines"
	printf '\001\001\0\0\0\2ab\0\0\0\0' >"$work/corpus/lengths"
	printf '\002\001abc' >"$work/corpus/whole"
	printf '\100\001%s' '{"seq":1,"ts":"2026-11-23T10:00:00.000000001Z","due":"2026-11-23T10:00:00+01:00","key":"k","id_b64":"/w==","attempt":1,"payload":"a\u0000"}' \
	    >"$work/corpus/json"
}

clang -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=all -I"$root/lib" -o "$work/fuzzer" \
    "$root/tests/fuzz/qpush_records.c" "$root"/lib/{frame,msgjson}.c \
    "$root"/lib/{buf,num}.c "${bsd[@]}" -ljson-c -lresolv
dictionary >"$work/dictionary"
corpus
echo "fuzz/qpush: $time s, seed $seed"
(cd "$work" && ./fuzzer -max_total_time="$time" -seed="$seed" \
    -dict=dictionary -rss_limit_mb=2048 -timeout=20 -max_len=4096 \
    -print_final_stats=1 corpus >log 2>&1) || {
	tail -60 "$work/log"
	cp "$work"/{crash,leak,timeout,oom}-* . 2>/dev/null || :
	exit 1
}
grep -E 'number_of_executed_units|peak_rss' "$work/log"
