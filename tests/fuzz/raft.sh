#!/usr/bin/env bash
# raft.sh: hostile requests, replies, log entries and snapshots under ASan and
# UBSan, for TIME seconds (30), with SEED.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
time=${TIME:-30} seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
read -ra bsd < <(pkg-config --cflags --libs libbsd-overlay)

if ! command -v clang >/dev/null; then
	echo 'fuzz/raft: no clang, skipped'
	exit 0
fi

clang -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=all -I"$root/lib" -o "$work/fuzzer" \
    "$root/tests/fuzz/raft_bytes.c" "$root"/lib/{fsm*,resp,buf,crc}.c \
    "${bsd[@]}" -lxxhash -lisal

mkdir "$work/corpus"
i=0
add() { i=$((i + 1)); printf "$@" >"$work/corpus/$i"; }
add '\000SET a 1 PX 10\r\nGET a\r\nLOCK l o 10\r\nLOCK l p 10\r\nUNLOCK l o\r\n'
add '\000*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n'
add '\000PROPOSE x y\r\nTAIL 0 0\r\nRWATCH "" 1 0\r\nLIST "" "" 9\r\nKEYS [a-c]*\r\n'
add '\000SCAN 0 MATCH * COUNT 5\r\nMSET a 1 b 2\r\nEXPIRE a 1\r\nDELIF a IFREV 1\r\n'
add '\001*3\r\n:1\r\n$-1\r\n*2\r\n+a\r\n$2\r\nxx\r\n'
head -c 40 /dev/zero | (printf '\002'; cat) >"$work/corpus/entry"
head -c 130 /dev/zero | (printf '\003'; cat) >"$work/corpus/snapshot"
grep -ohE '"[A-Z]{2,15}"' "$root"/lib/fsm*.c | sort -u >"$work/dictionary"
echo "fuzz/raft: $time s, seed $seed"
(cd "$work" && ./fuzzer -max_total_time="$time" -seed="$seed" \
    -dict=dictionary -rss_limit_mb=2048 -timeout=20 -max_len=4096 \
    -print_final_stats=1 corpus >log 2>&1) || {
	tail -60 "$work/log"
	cp "$work"/{crash,leak,timeout,oom}-* . 2>/dev/null || :
	exit 1
}
grep -E 'number_of_executed_units|peak_rss' "$work/log"
