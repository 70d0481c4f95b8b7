#!/usr/bin/env bash
# lincheck.sh: the judges of lincheck against brute force, COUNT random
# histories (200000) of every model and level, with SEED.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
count=${COUNT:-200000} seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
read -ra bsd < <(pkg-config --cflags --libs libbsd-overlay)

"${CC:-cc}" -std=c11 -D_GNU_SOURCE -O2 -g -I"$root/lib" -I"$root/tests/unit" \
    -o "$work/linz_test" "$root/tests/unit/linz_test.c" \
    "$root"/lib/{op,linz*}.c "$root"/lib/{buf,clock}.c "${bsd[@]}" -lxxhash
echo "torture/lincheck: $count histories of each kind, seed $seed"
"$work/linz_test" "$count" "$seed" >"$work/out" || {
	grep -v '^ok' "$work/out"
	exit 1
}
grep -c '^ok' "$work/out" | sed 's/$/ comparisons, none failed/'
