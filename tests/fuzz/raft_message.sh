#!/usr/bin/env bash
# raft_message.sh: hostile messages of a peer under ASan and UBSan, for TIME
# seconds (30), with SEED.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
time=${TIME:-30} seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v clang >/dev/null || ! pkg-config --atleast-version=0.22 raft
then
	echo 'fuzz/raft_message: no clang or no libraft, skipped'
	exit 0
fi
read -ra libs < <(pkg-config --cflags --libs libbsd-overlay raft)
clang -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=all -I"$root/lib" -I"$root/cmd" -o "$work/fuzzer" \
    "$root/tests/fuzz/raft_message.c" "$root/cmd/raftnode_message.c" \
    "$root/lib/buf.c" "${libs[@]}"

# One of each kind that is taken: type, header, payload.
mkdir "$work/corpus"
perl -e '
	sub out { open my $f, ">", "$ARGV[0]/$_[0]"; print $f $_[1] }
	sub q64 { pack "Q<*", @_ }
	my $conf = pack("CQ<", 1, 1) . pack("Q<Z*C", 1, "n1", 1);
	$conf .= "\0" x (-length($conf) % 8);
	out vote => chr(8 | 3 | 128) . q64(2, 1, 5, 1, 2);
	out voted => chr(8 | 4 | 128) . q64(2, 1, 1);
	out result => chr(8 | 2 | 128) . q64(2, 0, 5, 0);
	out now => chr(8 | 6) . q64(2, 5, 1);
	out empty => chr(8 | 1) . q64(2, 5, 1, 5, 0, 0);
	my $head = q64(2, 5, 1, 5, 2) . pack("Q<CxxxV", 2, 1, 8) .
	    pack("Q<CxxxV", 2, 3, length $conf) . q64(0);
	out entries => chr(1) . chr(length($head) / 2) . $head .
	    "12345678$conf";
	$head = q64(2, 5, 1, 1, length $conf) . $conf . q64(8, 0);
	out snapshot => chr(5) . chr(length($head) / 2) . $head . "12345678";
' "$work/corpus"
echo "fuzz/raft_message: $time s, seed $seed"
(cd "$work" && ./fuzzer -max_total_time="$time" -seed="$seed" \
    -rss_limit_mb=2048 -timeout=20 -max_len=4096 -print_final_stats=1 \
    corpus >log 2>&1) || {
	tail -60 "$work/log"
	cp "$work"/{crash,leak,timeout,oom}-* . 2>/dev/null || :
	exit 1
}
grep -E 'number_of_executed_units|peak_rss|cov:' "$work/log" | tail -n 3
