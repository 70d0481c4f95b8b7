# shellcheck shell=bash disable=SC2154,SC2034	# bats sets status, output, stderr
# partsim: what the tests of partsim share, loaded after helpers.
#
#	up [N|names] [option ...]	a net with so many nodes, seed 42;
#				$net is its pid
#	plays			play the script on stdin (see bench/partsim_peer.c);
#				what happens must be the text in $want
#	both			the same conversation over Unix and over TCP: a is
#				n1's end, b is n2's, opened by n1; VIA is how
#	each			and also opened by n2; OPEN opens one more, TAKE
#				accepts it: c is n1's end, d is n2's; NEW is the
#				one of them that opened it, OTHER the other
#
# $peer is that program, $port the first of ten ports of this test alone.

setup_file() {
	"${CC:-cc}" -O2 -D_GNU_SOURCE -o "$BATS_FILE_TMPDIR/peer" \
	    "$BATS_TEST_DIRNAME/bench/partsim_peer.c"
}

setup() {
	setup_test
	peer=$BATS_FILE_TMPDIR/peer
	export PARTSIM_NET=$BATS_TEST_TMPDIR/net
	# Below the range the kernel picks from; by pid, as others may test too.
	port=$((10000 + $$ * 7 % 2200 * 10))
}

up() {
	spawn_ready partsim up -s 42 -n "${1:-2}" "${@:2}"
	net=$spawned
}

plays() {
	run "$peer" play
	assert_eq "$status" 0 status
	assert_eq "$output" "$want" 'what happened'
}

# A Unix socket of which nothing was read has no reset: END is what is seen.
conversation() {	# kind back script want
	local at via here=n1 there=n2 open='open a' take='accept b'
	local script=$3 new=c other=d
	want=$4
	if [ "$2" = back ]; then
		here=n2 there=n1 open='open b' take='accept a' new=d other=c
	fi
	case $1 in
	unix)
		at=net/$there/raft via=net/$here/to/$there
		want=${want//END/end} ;;
	tcp)
		at=tcp:127.0.0.1:$port via=tcp:127.0.0.1:$((port + 1))
		[ "$2" != back ] || via=tcp:127.0.0.1:$((port + 2))
		want=${want//END/reset}
		partsim peers | grep -q "$via" ||
		    partsim -q link "$here" "$there" listen "$via" to "$at" ;;
	esac
	want=${want//NEW/$new} want=${want//OTHER/$other}
	script=${script//OPEN/open $new $via}
	script=${script//TAKE/accept $other L}
	script=${script//VIA/$via} script=${script//NEW/$new}
	echo "# $1 ${2:-}"
	plays <<-EOF
		listen L $at
		$open $via
		$take L
		${script//OTHER/$other}
	EOF
}

both() {
	local kind script say=$want
	script=$(cat)
	for kind in unix tcp; do
		conversation $kind '' "$script" "$say"
	done
}

each() {
	local kind back script say=$want
	script=$(cat)
	for kind in unix tcp; do
		for back in '' back; do
			conversation $kind "$back" "$script" "$say"
			partsim -q wait conns n1 n2 0 within 5s
			partsim -q wait conns n2 n1 0 within 5s
		done
	done
}

count() { grep -c "$1" "$2" || :; }

# example TEXT: the block of partsim(1) that follows this text, to be run.
example() {
	awk -v text="$1" '
	    index($0, text) { found = 1 }
	    found && /^\.Ed/ { exit }
	    inside { gsub(/\\e/, "\\"); print }
	    found && /^\.Bd/ { inside = 1 }' "$BATS_TEST_DIRNAME/../man/partsim.1"
}
