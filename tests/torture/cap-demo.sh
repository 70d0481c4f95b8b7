#!/usr/bin/env bash
# cap-demo.sh: COUNT (1000) short runs from SEED (1) on, of every shape and
# size.  Strong operations must be linearizable in all of them and replicas
# equal after healing; runs that break one assumption on purpose must be found
# out.  COUNT=100 is enough for a look.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
PATH=${DSUTILS_BIN:-$root/build/bin}:$PATH
count=${COUNT:-1000} seed=${SEED:-1} jobs=${JOBS:-2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work

# One run: "SEED STATUS strong-lincheck converged strong-unknown" on a line.
one() {
	local seed=$1 shapes sizes rc=0 n shape extra=()
	shapes=(majority halves one minority-third bridge majorities-ring
	    majority)
	sizes=(3 5 4 3 7)
	n=${sizes[seed % ${#sizes[@]}]}
	shape=${shapes[seed % ${#shapes[@]}]}
	# Shapes need nodes: a third of three is none.
	case $shape in
	minority-third | bridge | majorities-ring) [ "$n" -ge 4 ] || n=5 ;;
	esac
	[ $((seed % 3)) -ne 0 ] || extra+=(--siblings)
	[ $((seed % 5)) -ne 0 ] || extra+=(--weak-writer)
	[ $((seed % 2)) -ne 0 ] || extra+=(--delay $((seed % 20 + 1))ms)
	cap-demo run -J -s "$seed" -n "$n" -p "$shape" -W 800ms -r 250 \
	    --timeout 300ms --history "$TMPDIR/h.$seed" "${extra[@]}" \
	    >"$TMPDIR/out.$seed" 2>"$TMPDIR/err.$seed" || rc=$?
	perl -MJSON::PP -e '
	    my ($seed, $rc, $n, $shape) = splice @ARGV, 0, 4;
	    my ($strong, $end, $bad, $unknown) = ("none", {}, 0, 0);
	    while (<STDIN>) {
		my $o = decode_json($_);
		$strong = $o->{lincheck} if $o->{type} eq "verdict" &&
		    $o->{level} eq "strong";
		$end = $o if $o->{type} eq "end";
		if ($o->{type} eq "writes") {
			$bad += $o->{unexpected};
			$unknown += $o->{unknown};
		}
	    }
	    print join("\t", $seed, $rc, $n, $shape, $strong,
		$end->{converged} ? "equal" : "unequal", $bad, $unknown), "\n"
	    ' "$seed" "$rc" "$n" "$shape" <"$TMPDIR/out.$seed"
	[ -s "$TMPDIR/err.$seed" ] && sed "s/^/$seed: /" "$TMPDIR/err.$seed" >&2
	rm -f "$TMPDIR"/{h,out,err}."$seed" "$TMPDIR/h.$seed.eventual"
}
export -f one

echo "torture/cap-demo: $count runs, seeds from $seed"
seq "$seed" $((seed + count - 1)) | xargs -P "$jobs" -I {} bash -c 'one {}' \
    >"$work/results"
awk -F '\t' -v count="$count" '
    # Only weak writers may break a promise: every fifth run has some.
    $2 == 1 && $1 % 5 != 0 { print "exit 1:", $0; broken++ }
    $5 != "linearizable" || $6 != "equal" || $7 > 0 || $2 > 2 {
	print "FAILED", $0; failed++
    }
    { status[$2]++; shape[$4]++; unknown += $8 }
    END {
	for (s in shape) printf "%s %d  ", s, shape[s]
	printf "\n%d runs, %d failed; exits:", NR, failed
	for (s in status) printf " %s: %d", s, status[s]
	printf "; %d indeterminate writes", unknown
	printf "; %d other levels broke their promise\n", broken
	exit(failed > 0 || NR != count)
    }' "$work/results"

# The lessons, a fortieth of the runs each: most must be found out.
lesson() {
	local name=$1 want=$2 found=0 runs=$((count / 40 + 1)) i rc
	shift 2
	for ((i = 0; i < runs; i++)); do
		rc=0
		cap-demo -J -s $((seed + i)) -c strong "$@" >"$work/out" || rc=$?
		[ $rc -le 2 ] || return
		grep -q '"level":"strong".*"lincheck":"not-linearizable"' \
		    "$work/out" && found=$((found + 1))
	done
	echo "$name: not linearizable in $found of $runs runs"
	[ $((found * 100)) -ge $((runs * want)) ]
}
lesson --amnesia 80 --amnesia -W 4s
lesson --no-write-back 30 --no-write-back -W 4s
read -ra bsd < <(pkg-config --cflags --libs libbsd-overlay)
"${CC:-cc}" -std=c11 -D_GNU_SOURCE -O2 -I"$root/lib" -I"$root/tests/unit" \
    -o "$work/abd_test" "$root"/tests/unit/abd_test.c \
    "$root"/lib/{abd,dvv,hlc,crc,op,linz*,buf,clock}.c "${bsd[@]}" -lxxhash -lisal
"$work/abd_test" $((count * 20)) "$seed" >"$work/abd" || {
	grep '^not ok' "$work/abd"
	exit 1
}
sed -n 's/^ok [0-9]* - \(.*seed.*\)/\1/p' "$work/abd"
