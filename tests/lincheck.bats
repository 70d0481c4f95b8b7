#!/usr/bin/env bats
# shellcheck disable=SC2154	# bats sets status, output, stderr

bats_require_minimum_version 1.8.0
load helpers

# --- histories -----------------------------------------------------------------

# Events: lines "process type f value" become EDN.
events() {
	while read -r p t f v; do
		printf '{:process %s, :type :%s, :f :%s, :value %s}\n' \
		    "$p" "$t" "$f" "${v:-nil}"
	done
}

# Intervals: words become fields.
intervals() { sed -E 's/ +/\t/g'; }

# The verdict on the history on stdin.
verdict() {
	cat >history
	run lincheck history
	assert_match "$status" '^[012]$'
	got=${lines[0]}
}

# Is the order that -v printed one of these intervals of a register?  Knows
# nothing of lincheck: replays it and looks at the clock.
check_order() {
	awk -F '\t' '
	    NR == FNR { line[FNR] = $0; if ($8 == "ok") must[FNR] = 1; next }
	    FNR == 1 { next }			# the verdict
	    {
		split(line[$1], op, "\t")
		if (seen[$1]++ || op[8] == "fail") { print "twice", $0; exit 1 }
		if (op[2] != "-" && op[2] < late) { print "late", $0; exit 1 }
		if (op[1] > late) late = op[1]
		if (op[4] == "write") value = op[6]
		else if (op[4] == "cas") {
			split(op[6], pair, " ")
			if (value != pair[1]) { print "cas", $0; exit 1 }
			value = pair[2]
		} else if (op[7] != (value == "" ? "-" : value)) {
			print "read", $0; exit 1
		}
		delete must[$1]
	    }
	    END { for (i in must) { print "missing", i; exit 1 } }' "$1" "$2"
}

# A register's history of so many operations by so many clients, linearizable.
# random_history count clients values info-percent seed
random_history() {
	awk -v n="$1" -v c="$2" -v v="$3" -v info="$4" -v seed="$5" 'BEGIN {
	    srand(seed)
	    for (i = 1; i <= n; i++) {
		p = i % c
		s[i] = now[p] + rand(); e[i] = s[i] + rand() * 2
		now[p] = e[i]; point[i] = s[i] + (e[i] - s[i]) * rand()
		write[i] = rand() < 0.5
		arg[i] = v > 0 ? int(rand() * v) : i
		lost[i] = rand() * 100 < info
		if (lost[i]) { name[i] = "x" i; if (rand() < 0.5) point[i] = 1e9 }
		else name[i] = p
		order[i] = i
	    }
	    # Sorted by a pipe: awk has no sort of its own.
	    cmd = "sort -g >points"
	    for (i = 1; i <= n; i++) printf "%.9f %d\n", point[i], i | cmd
	    close(cmd)
	    value = "-"
	    while ((getline l < "points") > 0) {
		split(l, f, " "); i = f[2]
		if (f[1] >= 1e9) continue
		if (write[i]) value = arg[i]; else result[i] = value
	    }
	    for (i = 1; i <= n; i++)
		printf "%.6f\t%s\t%s\t%s\t-\t%s\t%s\t%s\n", s[i],
		    lost[i] ? "-" : sprintf("%.6f", e[i]), name[i],
		    write[i] ? "write" : "read", write[i] ? arg[i] : "-",
		    write[i] || lost[i] ? "-" : result[i],
		    lost[i] ? "info" : "ok"
	}'
}

stale() {
	events <<-END
		0 invoke write 1
		0 ok write 1
		1 invoke write 2
		1 ok write 2
		2 invoke read nil
		2 ok read 1
	END
}

# --- the program ---------------------------------------------------------------

@test "lincheck: -h and -V" {
	run -0 lincheck -h
	assert_match "$output" '^usage: lincheck .*record'
	run -0 lincheck --version
	assert_match "$output" '^lincheck [0-9]'
	run -0 lincheck record -h
	assert_match "$output" '^usage: lincheck record'
}

@test "lincheck: every long option is its short one's twin" {
	stale >h
	run -0 lincheck --help
	assert_match "$output" '^usage: lincheck'
	run -0 lincheck --consistency sequential --format edn --model register \
	    --wait 10s --verbose h
	assert_eq "${lines[0]}" sequential
	assert_match "$stderr" 'format edn, model register'
	run -1 lincheck --quiet h
	assert_eq "$output" ''
	run -1 lincheck --json h
	assert_match "$output" '^\{.*\}$'
	run -0 lincheck record --process p --wait 10s --output h2 read k - echo 1
	assert_match "$(cat h2)" $'\tp\tread\tk\t-\t1\tok$'
	run -0 lincheck record --version
}

@test "lincheck: options end at the first operand, and at --" {
	stale >h
	cp h -- -q
	run -1 lincheck h -q
	assert_eq "${#lines[@]}" 1 'what -q would have hidden' || :
	assert_match "$output" $'not-linearizable\th'
	assert_match "$output" $'not-linearizable\t-q'
	run -1 lincheck -- -q
	assert_eq "${lines[0]}" not-linearizable
	run -1 lincheck -- - <h
	assert_eq "${lines[0]}" not-linearizable
}

@test "lincheck: usage errors are 64" {
	local words
	for words in '-x' '-c strict' '-m stack' '-f xml' '-W soon' \
	    '--memory 3' '--memory x' '--states 0' '--nil maybe' \
	    '--log-base -1' '--svg a b c'; do
		# shellcheck disable=SC2086
		run -64 lincheck $words
		assert_eq "$output" '' "stdout of $words"
	done
	stale >h
	run -64 lincheck --init '1 2' h
}

@test "lincheck: a good history is linearizable, 0" {
	events >h <<-END
		0 invoke write 1
		1 invoke read nil
		1 ok read 1
		0 ok write 1
	END
	run -0 lincheck h
	assert_eq "$output" linearizable
	run -0 lincheck <h
	assert_eq "$output" linearizable
	run -0 lincheck -q h
	assert_eq "$output$stderr" ''
}

@test "lincheck: a stale read is shown in words, with lines and a diagram, 1" {
	stale >h
	run -1 lincheck h
	assert_eq "${lines[0]}" not-linearizable
	assert_eq "${lines[1]}" 'stale read'
	assert_match "$output" 'lines 3 and 4: write 2 by process 1 overwrote it'
	assert_match "$output" 'lines 5 and 6: read -> 1 by process 2 still saw'
	assert_match "$output" $'\n''0 +\|-write 1--\|'
	assert_match "$output" $'\n''2 +\|!read 1!!\|'
	assert_match "$output" 'the longest order places 2 of them: write 1; write 2'
	assert_match "$output" 'cannot follow; the value is 2'
	run -1 lincheck -q h
	assert_eq "$output" ''
}

@test "lincheck: no line of a diagram is wider than 80 columns" {
	random_history 60 9 3 20 3 >h
	awk -F '\t' 'NR == 50 { $7 = "never"; $4 = "read"; $6 = "-"; $8 = "ok"
	    if ($2 == "-") $2 = $1 + 1 } { print }' OFS='\t' h >bad
	run -1 lincheck bad
	stale >h2
	run -1 lincheck h2
	while IFS= read -r line; do
		case $line in
		*'|'*) [ ${#line} -le 80 ] || { echo "$line"; return 1; } ;;
		esac
	done <<<"$output"
}

@test "lincheck: several files, 1 beats 2 beats 0, unreadable beats all" {
	stale >bad
	printf '1\t2\tp\tread\t-\t-\t-\tok\n' >good
	: >empty
	run -1 lincheck good empty bad
	assert_eq "${lines[0]}" $'linearizable\tgood'
	assert_eq "${lines[1]}" $'unknown\tempty'
	assert_eq "${lines[3]}" $'not-linearizable\tbad'
	run -2 lincheck good empty
	run -0 lincheck good good
	echo hello >prose
	run -65 lincheck good bad prose empty
	assert_match "$output" $'not-linearizable\tbad'
	run -71 lincheck .
	run -66 lincheck good missing bad
	assert_match "$stderr" 'missing: No such file'
}

@test "lincheck: a verdict that cannot be written is 74" {
	[ -w /dev/full ] || skip 'no /dev/full'
	stale >h
	# shellcheck disable=SC2016
	run -74 sh -c 'lincheck "$1" >/dev/full' sh h
	assert_match "$stderr" 'stdout: No space left'
}

@test "lincheck: -J gives one object a line" {
	stale >bad
	printf '1\t2\tp\tread\tx\t-\t-\tok\n' >good
	run -1 lincheck -J good bad
	assert_eq "${#lines[@]}" 2 lines
	assert_match "${lines[0]}" '"verdict":"linearizable".*"model":"kv"'
	assert_match "${lines[1]}" '"anomaly":"stale read"'
	assert_match "${lines[1]}" '"window":\[\{"lines":\[1,2\]'
	assert_match "${lines[1]}" '"lines":\[5,6\].*"culprit":true'
	run -2 lincheck -J </dev/null
	assert_match "$output" '"verdict":"unknown".*"reason":"no completed'
	cp good $'name\xff'
	run -0 lincheck -J $'name\xff'
	assert_match "$output" '"file":"name\\\\xff"'
	run -0 lincheck -J -v good
	assert_match "$output" '"order":\[1\]'
	run -1 lincheck -J -c all bad
	assert_match "$output" \
	    '"levels":\{"linearizable":false,"sequential":true,"regular":false\}'
}

@test "lincheck: --svg draws what failed" {
	stale >h
	run -1 lincheck --svg out.svg h
	assert_match "$(cat out.svg)" '^<svg .*</svg>$'
	assert_match "$(cat out.svg)" 'write 2</text>'
	# Wide enough for its heading, and for each label in its bar.
	[ "$(sed -nE 's/.* width="([0-9]+)" height.*/\1/p;q' out.svg)" -ge 560 ]
	for i in {1..14}; do
		printf '%d\t%d.5\tp\twrite\t-\tvalue%d\t-\tok\n' "$i" "$i" "$i"
	done >wide
	printf '20\t21\tp\tread\t-\t-\t-\tok\n' >>wide
	run -1 lincheck -c sequential --svg wide.svg wide
	sed -nE 's/.*<rect x=.* width="([0-9]+)" height="26".*/\1/p' wide.svg >widths
	[ "$(sort -n widths | head -n 1)" -ge $((8 * 8)) ]
	run -1 lincheck -q --svg out2.svg h
	[ -s out2.svg ]
	run -73 lincheck --svg no/dir/x.svg h
}

@test "lincheck: -v prints an order that stands up, and what was explored" {
	local seed
	for seed in 1 2 3 4 5; do
		random_history 300 5 0 5 "$seed" >distinct
		random_history 300 5 3 10 "$seed" >repeated
		for h in distinct repeated; do
			lincheck -v $h >out 2>err
			assert_eq "$(head -n 1 out)" linearizable
			check_order $h out
			assert_match "$(cat err)" '300|2[0-9][0-9] operations, 1 keys, [0-9]+ states explored'
		done
	done
}

@test "lincheck: the order checker is able to say no" {
	printf '1\t2\ta\twrite\t-\t1\t-\tok\n3\t4\ta\tread\t-\t-\t1\tok\n' >h
	lincheck -v h >out
	check_order h out
	printf 'linearizable\n2\ta\tread -> 1\n1\ta\twrite 1\n' >out
	run ! check_order h out
	printf 'linearizable\n1\ta\twrite 1\n' >out
	run ! check_order h out
}

# --- levels ----------------------------------------------------------------------

@test "lincheck: -c: a stale read is sequential, an inversion regular" {
	stale >h
	run -0 lincheck -c sequential h
	assert_eq "$output" sequential
	run -1 lincheck -c regular h
	assert_eq "${lines[0]}" not-regular
	assert_eq "${lines[1]}" 'stale read'
	run -1 lincheck -c all h
	assert_eq "${lines[0]}" sequential
	assert_eq "${lines[1]}" \
	    'linearizable: no, sequential: yes, regular: no'

	events >h <<-END
		0 invoke write 1
		1 invoke read nil
		1 ok read 1
		1 invoke read nil
		1 ok read nil
		0 ok write 1
	END
	run -1 lincheck h
	assert_eq "${lines[1]}" 'new/old inversion'
	run -1 lincheck -c sequential h
	assert_eq "${lines[0]}" not-sequential
	run -0 lincheck -c regular h
	run -1 lincheck -c all h
	assert_eq "${lines[0]}" regular
	events >h <<-END
		0 invoke read nil
		0 ok read 7
	END
	run -1 lincheck -c all h
	assert_eq "${lines[0]}" none
	run -0 lincheck -c all <<-END
	{:process 0 :type :invoke :f :read}{:process 0 :type :ok :f :read}
	END
	assert_eq "${lines[0]}" linearizable
}

@test "lincheck: keys are not judged apart for sequential consistency" {
	intervals >h <<-END
		1 2 a put x 1 - ok
		3 4 a get y - - ok
		1 2 b put y 1 - ok
		3 4 b get x - - ok
	END
	run -1 lincheck h
	run -1 lincheck -c sequential h
	assert_eq "${lines[0]}" not-sequential
}

@test "lincheck: what a level cannot say is unknown, 2" {
	printf '1\t2\ta\tacquire\t-\t-\t-\tok\n' >h
	run -2 lincheck -c regular h
	assert_match "$output" 'registers only'
	intervals >h <<-END
		1 4 a write - 1 - ok
		2 3 a read - - 2 ok
		5 6 b write - 2 - ok
	END
	run -2 lincheck -c sequential h
	assert_match "$output" 'operations that overlap'
}

# --- limits ----------------------------------------------------------------------

# Updates of texts that no read tells apart: too many orders.
hard() {
	local i
	for ((i = 0; i < 60; i++)); do
		printf '0\t10\tp%d\tput\tx\tv%d\t-\tok\n' $i $i
		printf '0\t10\tq%d\tappend\tx\ta%d\t-\tok\n' $i $i
	done
	printf '11\t12\tr\tget\tx\t-\tv1a1v2\tok\n'
}

@test "lincheck: limits of time, states and memory give unknown with progress" {
	local start=$SECONDS
	hard >h
	run -2 lincheck -W 0.3 h
	assert_eq "${lines[0]}" unknown
	assert_match "${lines[1]}" \
	    'key x: time limit.*at most [0-9]+ of 121 operations placed'
	[ $((SECONDS - start)) -lt 10 ]
	run -2 lincheck --states 1000 h
	assert_match "${lines[1]}" 'limit of states hit.*100[01] states'
	run -2 lincheck --memory 2M h
	assert_match "${lines[1]}" 'memory limit'
	run -2 lincheck -W 0 h
}

# Many operations of few values by ten clients, each at a point within its
# time; among them twelve reads in a moment that would need eleven writes.
# tangled count
tangled() {
	random_history "$1" 10 5 0 7 | awk -F '\t' -v OFS='\t' -v n="$1" '
	    { print }
	    NR == int(n * 0.7) {
		for (i = 0; i < 12; i++)
			print sprintf("%.6f", $1 + i * 2e-6),
			    sprintf("%.6f", $1 + i * 2e-6 + 1e-6), "z", "read",
			    "-", "-", i % 5, "ok"
	    }'
}

@test "lincheck: a failure deep in a long history is cut down to few, in time" {
	tangled 20000 >h
	run -1 lincheck -v -W 20 h
	assert_eq "${lines[0]}" not-linearizable
	n=$(sed -nE 's/^([0-9]+) of 20012 operations show it, whatever the value was before:/\1/p' \
	    <<<"$output")
	[ "$n" -gt 1 ] && [ "$n" -lt 40 ]
	assert_match "$output" 'the longest order places [0-9]+ of them, after a write of [0-4]: '
	# These few alone have none, whatever was written before.
	sed -nE 's/^  line ([0-9]+): .*\[.*\]( .*)?$/\1/p' <<<"$output" |
	    sort -nu >numbers
	assert_eq "$(wc -l <numbers)" "$n" 'operations listed'
	awk 'NR == FNR { take[$1]; next } FNR in take' numbers h >few
	for v in 0 1 2 3 4; do
		{ cat few; printf '0\t0.000001\tz\twrite\t-\t%d\t-\tok\n' "$v"; } >few.$v
		run -1 lincheck few.$v
	done
	run -1 lincheck -J h
	assert_match "$output" '"whatever_before":true'
}

@test "lincheck: two reads in a moment are stale, whatever was written before" {
	# Each write overlaps the next, so none has the register for itself.
	for ((i = 0; i <= 40; i++)); do
		printf '%d\t%d.5\tp%d\twrite\t-\t%d\t-\tok\n' "$i" $((i + 1)) \
		    $((i % 2)) $((i % 3))
	done >h
	printf '60\t62\ty\tread\t-\t-\t0\tok\n61\t63\tz\tread\t-\t-\t1\tok\n' >>h
	run lincheck h
	assert_eq "${lines[0]}" not-linearizable
	assert_eq "${lines[1]}" 'stale read'
	assert_match "$output" 'nobody wrote either: one is stale'
	assert_match "$output" $'\n2 of 43 operations show it, whatever the value was before:'
}

@test "lincheck: no time to explain is no reason to go on" {
	tangled 100000 >h
	run lincheck -W 1 h
	assert_match "$status" '^[12]$'
	run -1 lincheck -q -W 60 h
}

@test "lincheck: a lock's history is cropped, whoever held it" {
	for ((i = 0; i < 300; i++)); do
		printf '%d\t%d\tp%d\tacquire\t-\t-\t-\tok\n' $((4 * i)) $((4 * i + 1)) $((i % 5))
		printf '%d\t%d\tp%d\trelease\t-\t-\t-\tok\n' $((4 * i + 2)) $((4 * i + 3)) $((i % 5))
	done >h
	run -0 lincheck h
	printf '801.2\t801.8\tp9\tacquire\t-\t-\t-\tok\n' >>h
	run -1 lincheck h
	assert_eq "${lines[1]}" 'two holders'
	assert_match "$output" $'\n2 of 601 operations show it, whoever held the lock before:'
}

@test "lincheck: a long search shows its progress on a terminal, nowhere else" {
	command -v script >/dev/null || skip 'no script(1)'
	hard >h
	script -qefc 'lincheck -W 2.5 h' typescript >screen || :
	assert_match "$(cat -v screen)" \
	    '120 of 121 operations placed, [0-9]+ states, [0-9]+/s, at most 1s left'
	assert_match "$(cat -v screen)" '\[Kunknown'
	run -2 lincheck -W 2.5 h
	assert_eq "$stderr" ''
}

@test "lincheck: one hard key does not hide another's violation" {
	hard >h
	printf '1\t2\ta\tput\tz\t1\t-\tok\n3\t4\ta\tget\tz\t-\t2\tok\n' >>h
	run -1 lincheck -W 5 h
	assert_match "$output" 'key z: read of a value nobody wrote'
}

# --- corner cases ----------------------------------------------------------------

@test "lincheck: an empty history, or one of open operations only, is unknown" {
	: >h
	run -2 lincheck h
	assert_eq "${lines[0]}" unknown
	assert_match "${lines[1]}" 'nothing to check'
	verdict <<<'{:process 0 :type :invoke :f :write :value 1}'
	assert_eq "$got" unknown
	verdict < <(printf '1\t2\tp\twrite\t-\t1\t-\tfail\n')
	assert_eq "$got" unknown
}

@test "lincheck: reads and writes at the edges" {
	# of the initial value after an overwrite
	verdict < <(intervals <<<$'1 2 a write - 1 - ok\n3 4 a read - - - ok')
	assert_eq "$got" not-linearizable
	# overlapping its own write
	verdict < <(intervals <<<$'1 9 a write - 1 - ok\n3 4 b read - - 1 ok')
	assert_eq "$got" linearizable
	# a write never read
	verdict < <(intervals <<<$'1 2 a write - 1 - ok\n3 4 b write - 2 - ok')
	assert_eq "$got" linearizable
	# the same value twice
	verdict < <(intervals <<-END
		1 2 a write - 1 - ok
		3 4 a write - 2 - ok
		5 6 a write - 1 - ok
		7 8 b read - - 1 ok
	END
	)
	assert_eq "$got" linearizable
	# no length at all, and two ends that meet are concurrent
	verdict < <(intervals <<<$'1 1 a write - 1 - ok\n1 1 b read - - - ok')
	assert_eq "$got" linearizable
	verdict < <(intervals <<<$'1 2 a write - 1 - ok\n2 3 b read - - - ok')
	assert_eq "$got" linearizable
	verdict < <(intervals <<-END
		1 2 a write - 1 - ok
		2.000000001 3 b read - - - ok
	END
	)
	assert_eq "$got" not-linearizable
	# read before it was called, though it never returned
	verdict < <(intervals <<<$'1 2 a read - - 1 ok\n3 - b write - 1 - info')
	assert_eq "$got" not-linearizable
	assert_eq "${lines[1]}" 'read of a value not yet written'
}

@test "lincheck: what is indeterminate may happen late, once, or never" {
	verdict < <(intervals <<-END
		1 - a write - 1 - info
		2 3 b read - - - ok
		4 5 b write - 2 - ok
		6 7 b read - - 2 ok
		8 9 b read - - 1 ok
	END
	)
	assert_eq "$got" linearizable
	verdict < <(intervals <<-END
		1 - a write - 1 - info
		2 3 b read - - 1 ok
		4 5 b write - 2 - ok
		6 7 b read - - 1 ok
	END
	)
	assert_eq "$got" not-linearizable
}

@test "lincheck: a failed write that was read is named, with its line" {
	verdict < <(events <<-END
		1 invoke read nil
		101 invoke write 3
		101 fail write 3
		1 ok read 3
	END
	)
	assert_eq "$got" not-linearizable
	assert_eq "${lines[1]}" 'read of a failed write'
	assert_match "$output" 'failed \(line 2\)'
	assert_match "$output" 'record it as info'
}

@test "lincheck: the culprit is the first bad operation, not a later one" {
	verdict < <(events <<-END
		0 invoke write 0
		0 ok write 0
		1 invoke read nil
		2 invoke write 4
		1 ok read 3
		2 ok write 4
		3 invoke read nil
		3 ok read 4
	END
	)
	assert_eq "$got" not-linearizable
	assert_match "$output" 'lines 3, 5: read -> 3 <- no order from here on'
	run ! grep -q 'lines 7' <<<"$output"
}

@test "lincheck: a last line without its end is dropped with a warning" {
	printf '1\t2\ta\twrite\t-\t1\t-\tok\n3\t4\ta\tread\t-\t-\t9\tok' >h
	run -0 lincheck h
	assert_match "$stderr" 'h: line 2: dropped'
	stale | head -c -20 >h
	run -0 lincheck h
	assert_match "$stderr" 'h: line 6: dropped'
}

@test "lincheck: two hung acquires and a holder" {
	verdict < <(intervals <<-END
		1 - a acquire - - - info
		1 - b acquire - - - info
		2 3 c acquire - - - ok
		4 5 c release - - - ok
		6 7 d acquire - - - ok
	END
	)
	assert_eq "$got" linearizable
}

@test "lincheck: long values are read, compared and shown cut" {
	local long
	long=$(head -c 100000 /dev/zero | tr '\0' x)
	printf '1\t2\ta\twrite\t-\t%s1\t-\tok\n3\t4\ta\tread\t-\t-\t%s2\tok\n' \
	    "$long" "$long" >h
	run -1 lincheck h
	[ ${#output} -lt 3000 ]
}

@test "lincheck: text that nobody put together is named" {
	printf '1\t2\ta\tappend\tk\tx\t-\tok\n3\t4\ta\tget\tk\t-\tno\tok\n' >h
	run -1 lincheck h
	assert_eq "${lines[1]}" 'key k: read of a value nobody wrote'
	assert_match "$output" 'saw no, whose beginning no operation wrote'
}

@test "lincheck: hostile text does not reach the terminal" {
	printf '{:process 0 :type :invoke :f :write :value "\x1b[2J"}' >h
	printf '{:process 0 :type :ok :f :write :value 1}' >>h
	printf '{:process 0 :type :invoke :f :read}' >>h
	printf '{:process 0 :type :ok :f :read :value "\x1b[2Jq"}' >>h
	run -1 lincheck h
	run ! grep -q $'\x1b' <<<"$output$stderr"
	printf '{:process 0 :type :invoke :f "\x1b2J"}{:process 0 :type :ok :f "\x1b2J"}' >h
	run -65 lincheck h
	run ! grep -q $'\x1b' <<<"$output$stderr"
	# a process, a text put together from appends, C1 controls
	printf '1\t2\t\x1b[2J\twrite\t-\t1\t-\tok\n' >h
	run -0 lincheck -v h
	assert_eq "${lines[1]}" $'1\t\\x1b[2J\twrite 1'
	printf '1\t2\ta\tappend\tk\tx\t-\tok\n3\t4\ta\tappend\tk\t\x1b[2J\xc2\x9b\xff\t-\tok\n' >h
	printf '5\t6\ta\tget\tk\t-\tx\x1b[2J\xc2\x9b\xff\tok\n7\t8\ta\tget\tk\t-\tx\tok\n' >>h
	run -1 lincheck h
	assert_match "$output" 'the value is "x\\x1b\[2J\\xc2\\x9b\\xff"'
	run ! grep -q $'\x1b\|\x9b\|\xff' <<<"$output$stderr"
	run -1 lincheck -J h
	iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
}

# --- broken input ------------------------------------------------------------------

@test "lincheck: broken input is 65 and says where" {
	stale >h
	echo '{:process 7, :type :ok, :f :read, :value 1}' >>h
	run -65 lincheck h
	assert_match "$stderr" 'h: line 7: completion for process 7'
	assert_eq "$output" ''
	printf '1\t2\ta\twrite\t-\t1\t-\tok\n5\t4\ta\tread\t-\t-\t9\tok\n' >h
	run -65 lincheck h
	assert_match "$stderr" 'line 2: it ends before it starts'
	printf '1\t2\ta\tjump\t-\t1\t-\tok\n' >h
	run -65 lincheck h
	assert_match "$stderr" 'line 1: jump: not a function of the model'
	printf '1\t2\ta\tenqueue\t-\t1\t-\tok\n' >h
	run -65 lincheck -m register h
	assert_match "$stderr" 'line 1: enqueue: not a function of the model register'
	{ echo '['; stale; } >h
	run -65 lincheck h
	assert_match "$stderr" 'line 1: the \[ here is never closed'
	assert_eq "$output" ''
	head -c 100000 /dev/urandom >h
	printf '\x00' | cat - h >h0
	run -65 lincheck h0
	run -65 lincheck -f edn h0
	run -65 lincheck -f json h0
	run -65 lincheck -f tsv h0
	run -65 lincheck -f txt h0
}

@test "lincheck: a line of 1 GiB is refused in little memory" {
	sanitized && skip 'memory is not ours'
	# shellcheck disable=SC2016
	run bash -c 'ulimit -v 600000
	    { printf "1\t2\tp\t"; head -c 1G /dev/zero | tr "\0" x; } 2>/dev/null |
	    lincheck'
	assert_eq "$status" 65
	assert_match "$stderr" 'line 1: line longer than'
	run bash -c '{ printf "{:process \""; head -c 1G /dev/zero; } 2>/dev/null |
	    lincheck'
	assert_eq "$status" 65
}

# --- formats ---------------------------------------------------------------------

@test "lincheck: the same history in every format" {
	local f
	stale >h.edn
	{ echo '['; cat h.edn; echo ']'; } >h.vector.edn
	sed -E 's/.*process ([0-9]+), :type (:[a-z]+), :f (:[a-z]+), :value (.*)}/\1\t\2\t\3\t\4/' \
	    h.edn >h.txt
	sed 's/^/INFO  jepsen.util - /' h.txt >h.log
	sed -E 's/:(process|type|f|value) /"\1":/g; s/:([a-z]+),/:"\1",/g; s/nil/null/' \
	    h.edn | sed -E 's/":([a-z]+)/":"\1"/g; s/"null"/null/; s/::/:/g' |
	    sed -E 's/"type"::?"?([a-z]+)"?/"type":"\1"/; s/"f"::?"?([a-z]+)"?/"f":"\1"/' >h.json
	{ echo '['; paste -sd, h.json; echo ']'; } >h.array.json
	sed 's/$/\r/' h.txt >h.crlf.txt
	intervals >h.tsv <<-END
		1 2 0 write - 1 - ok
		3 4 1 write - 2 - ok
		5 6 2 read - - 1 ok
	END
	cat h.json
	for f in h.*; do
		run -1 lincheck -v "$f"
		assert_eq "${lines[0]}" not-linearizable "$f"
		assert_match "$stderr" 'model register, 3 operations, 1 keys'
	done
	run -65 lincheck -f tsv h.edn
	run -65 lincheck -f json h.edn
	run -1 lincheck -f edn h.edn
	run -1 lincheck -f txt h.txt
	run -1 lincheck -f log h.log
}

@test "lincheck: Jepsen's independent keys, guessed and forced" {
	events >h <<-END
		0 invoke write [1 5]
		0 ok write [1 5]
		1 invoke read [2 nil]
		1 ok read [2 nil]
		0 invoke read [1 nil]
		0 ok read [1 5]
	END
	run -0 lincheck -v h
	assert_match "$stderr" 'model kv, 3 operations, 2 keys'
	events >h <<-END
		0 invoke write [1 5]
		0 ok write [1 5]
		0 invoke write [2 6]
		0 ok write [2 6]
		0 invoke read nil
		0 ok read [1 5]
	END
	run -1 lincheck h
	run -65 lincheck --independent h
	assert_match "$stderr" 'line 5: the value is not'
	head -n 4 h >h2
	run -0 lincheck -v --independent h2
	assert_match "$stderr" '2 keys'
}

@test "lincheck: a process that is used again, --reuse" {
	events >h <<-END
		0 invoke write 1
		0 invoke read nil
		0 ok read 1
	END
	run -65 lincheck h
	assert_match "$stderr" 'line 2: process 0 invokes again.*line 1'
	run -0 lincheck --reuse h
}

@test "lincheck: --nil and --init" {
	events >h <<-END
		0 invoke write 1
		0 ok write 1
		0 invoke read nil
		0 ok read nil
	END
	run -1 lincheck h
	run -1 lincheck --nil absent h
	run -0 lincheck --nil any h
	events >h <<-END
		0 invoke read nil
		0 ok read 7
	END
	run -1 lincheck h
	run -0 lincheck --init 7 h
	printf '1\t2\ta\tread\t-\t-\tx y\tok\n' >h
	run -0 lincheck --init 'x y' h
	# A lock is no register: it is free at first.
	printf '1\t2\ta\tacquire\t-\t-\t-\tok\n' >h
	run -0 lincheck --init 5 h
}

# --- models ----------------------------------------------------------------------

# model want function-lines: intervals, judged with and without -m.
model() {
	local want=$2
	intervals >h
	run lincheck -v -m "$1" h
	assert_eq "${lines[0]}" "$want" "$1"
	[ -z "${3-}" ] || assert_eq "${lines[1]}" "$3" anomaly
	[ "$1" = mutex ] && return
	run lincheck -v h
	assert_eq "${lines[0]}" "$want" "guessed $1"
	assert_match "$stderr" "model $1,"
}

@test "lincheck: cas-register" {
	sed 's/|/ /' >script <<-END
		1 2 a write - 1 - ok
		3 9 a cas - 1|2 - ok
		3 9 b cas - 2|3 - ok
	END
	intervals <script | sed -E 's/([0-9])\t([0-9]\t-\tok)/\1 \2/; s/cas\t-\t([0-9])\t/cas\t-\t\1 /' >h
	run -0 lincheck -v h
	assert_match "$stderr" 'model cas-register'
	printf '1\t2\ta\twrite\t-\t1\t-\tok\n3\t4\ta\tcas\t-\t1 2\t-\tok\n5\t6\tb\tcas\t-\t1 3\t-\tok\n' >h
	run -1 lincheck h
	assert_eq "${lines[1]}" 'lost update'
	printf '1\t2\ta\tcas\t-\t- 2\t-\tok\n3\t4\ta\tread\t-\t-\t2\tok\n' >h
	run -0 lincheck h
	printf '1\t2\ta\tcas\t-\t1 2 3\t-\tok\n' >h
	run -65 lincheck h
}

@test "lincheck: kv with every function" {
	model kv linearizable <<-END
		1 2 a put x 1 - ok
		3 4 a append x 2 - ok
		5 6 a get x - 12 ok
		7 8 a del x - - ok
		9 10 b get x - - ok
		1 2 b get y - - ok
	END
	model kv not-linearizable 'key x: stale read' <<-END
		1 2 a append x 1 - ok
		3 4 a append x 2 - ok
		5 6 a get x - 12 ok
		7 8 b get x - 1 ok
	END
	model kv not-linearizable 'key x: reads that diverge' <<-END
		1 9 a append x 1 - ok
		1 9 b append x 2 - ok
		10 11 a get x - 12 ok
		10 11 b get x - 21 ok
	END
}

@test "lincheck: lock and mutex" {
	model lock not-linearizable 'two holders' <<-END
		1 2 a acquire - - - ok
		3 4 b acquire - - - ok
	END
	model lock not-linearizable 'release of a lock not held' <<-END
		1 2 a acquire - - - ok
		3 4 b release - - - ok
	END
	model mutex linearizable <<-END
		1 2 a acquire - - - ok
		3 4 b release - - - ok
	END
	model lock linearizable <<-END
		1 2 a acquire - - - ok
		3 6 a release - - - ok
		4 5 b acquire - - - ok
	END
	assert_eq "$(lincheck -v h 2>/dev/null | tail -n 1)" $'3\tb\tacquire'
}

@test "lincheck: fifo" {
	model fifo linearizable <<-END
		1 2 a enqueue - 1 - ok
		3 4 a enqueue - 2 - ok
		5 6 b dequeue - - 1 ok
		7 8 b dequeue - - 2 ok
		9 10 b dequeue - - - ok
	END
	model fifo not-linearizable 'items out of order' <<-END
		1 2 a enqueue - 1 - ok
		3 4 a enqueue - 2 - ok
		5 6 b dequeue - - 2 ok
	END
	model fifo not-linearizable 'item delivered twice' <<-END
		1 2 a enqueue - 1 - ok
		3 4 b dequeue - - 1 ok
		3 4 c dequeue - - 1 ok
	END
	model fifo not-linearizable 'empty, but it was not' <<-END
		1 2 a enqueue - 1 - ok
		3 4 b dequeue - - - ok
	END
	model fifo linearizable <<-END
		1 2 a enqueue - 1 - ok
		1 2 b enqueue - 2 - ok
		3 - c dequeue - - - info
		4 5 d dequeue - - 2 ok
		6 7 d dequeue - - - ok
	END
	printf '1\t2\ta\tenqueue\t-\t1\t-\tok\n1\t2\tb\tenqueue\t-\t2\t-\tok\n3\t4\ta\tdrain\t-\t-\t2 1\tok\n' >h
	run -0 lincheck h
	printf '5\t-\ta\tdrain\t-\t-\t-\tinfo\n' >>h
	run -65 lincheck h
	assert_match "$stderr" 'line 4: drain: a drain that did not complete'
}

@test "lincheck: set" {
	printf '1\t2\ta\tadd\t-\t1\t-\tok\n3\t4\ta\tadd\t-\t2\t-\tok\n5\t6\tb\tread\t-\t-\t2 1\tok\n7\t8\tb\tremove\t-\t1\t-\tok\n9\t10\tb\tread\t-\t-\t2\tok\n' >h
	run -0 lincheck -v h
	assert_match "$stderr" 'model set'
	model set not-linearizable 'lost item' <<-END
		1 2 a add - 1 - ok
		3 4 a add - 2 - ok
		5 6 b read - - 2 ok
	END
	printf '{:process 0 :type :invoke :f :add :value 1}{:process 0 :type :ok :f :add :value 1}{:process 0 :type :invoke :f :read}{:process 0 :type :ok :f :read :value #{1}}' >h
	run -0 lincheck h
}

@test "lincheck: log, with offsets" {
	printf '1\t9\ta\tappend\t-\tx\t0\tok\n1\t9\tb\tappend\t-\ty\t1\tok\n10\t11\tb\tread\t-\t-\tx y\tok\n12\t13\tb\tread\t-\t1\ty\tok\n' >h
	run -0 lincheck -v h
	assert_match "$stderr" 'model log'
	run -65 lincheck --log-base 1 h
	sed -E 's/\t0\tok/\t1\tok/; 2s/\t1\tok/\t2\tok/; 4s/-\t1\t/-\t2\t/' h >h1
	run -0 lincheck --log-base 1 h1
	run -1 lincheck h1
	printf '1\t9\ta\tappend\t-\tx\t-\tok\n1\t9\tb\tappend\t-\ty\t-\tok\n10\t11\tb\tread\t-\t-\tx y\tok\n10\t11\ta\tread\t-\t-\ty x\tok\n' >h
	run -1 lincheck h
	assert_eq "${lines[1]}" 'reads that diverge'
}

@test "lincheck: items with blanks are not taken apart" {
	printf '1\t2\ta\tappend\t-\tx y\t-\tok\n3\t4\ta\tread\t-\t-\tx y\tok\n' >h
	run -0 lincheck -m log h
	sed -n '1s/x y/x/p; 1s/\tx\t/\tx\t/' h >h2
	printf '1\t2\tb\tappend\t-\ty\t-\tok\n3\t4\ta\tread\t-\t-\tx y\tok\n' >>h2
	run -0 lincheck -m log h2
	printf '1\t2\ta\tadd\t-\tx y\t-\tok\n1\t2\tb\tadd\t-\tz\\tz\t-\tok\n3\t4\ta\tread\t-\t-\tz\\tz\\nx y\tok\n' >h
	run -0 lincheck h
	sed 's/\\nx y/\\nx/' h >h2
	run -1 lincheck h2
}

@test "lincheck: multi-register" {
	events >h <<-END
		0 invoke txn [[:w x 1] [:w y 1]]
		0 ok txn [[:w x 1] [:w y 1]]
		1 invoke txn [[:r x nil] [:r y nil]]
		1 ok txn [[:r x 1] [:r y 1]]
	END
	run -0 lincheck -v h
	assert_match "$stderr" 'model multi-register'
	sed 's/\[:r y 1\]/[:r y nil]/' h >h2
	run -1 lincheck h2
	assert_match "$output" 'a register it read as '
}

# --- size ------------------------------------------------------------------------

# Nothing may take longer than this says: generous, for slow machines.
quick() {
	local start=$SECONDS
	"$@"
	[ $((SECONDS - start)) -le 5 ]
}

@test "lincheck: hard cases are easy: states stay few" {
	local seed
	for seed in 1 2 3 4 5 6 7 8; do
		random_history 400 6 4 25 "$seed" >h
		run -0 lincheck -v h
		states=$(sed -E 's/.* ([0-9]+) states explored.*/\1/' <<<"$stderr")
		[ "$states" -lt 20000 ]
	done
	# thirty open operations, and a read that needs the oldest of them late
	{
		for i in {1..30}; do
			printf '1\t-\tx%d\twrite\t-\t%d\t-\tinfo\n' "$i" $((i % 5))
		done
		for i in {10..60}; do
			printf '%d\t%d.5\tr\tread\t-\t-\t%d\tok\n' "$i" "$i" $((i / 10 % 5))
		done
	} >h
	run -0 lincheck -v h
	states=$(sed -E 's/.* ([0-9]+) states explored.*/\1/' <<<"$stderr")
	[ "$states" -lt 1000 ]
	printf '70\t71\tr\tread\t-\t-\t9\tok\n' >>h
	run -1 lincheck h
	# sixteen appends at once, and one read as the oracle of their order
	{
		for i in {1..16}; do
			printf '1\t2\tp%d\tappend\tx\t<%d>\t-\tok\n' "$i" "$i"
		done
		printf '3\t4\tr\tget\tx\t-\t'
		printf '<%d>' 7 3 16 1 2 4 5 6 8 9 10 11 12 13 14 15
		printf '\tok\n'
	} >h
	run -0 lincheck -v h
	assert_match "$stderr" ' 1[0-9] states explored'
}

@test "lincheck: a hundred thousand operations" {
	random_history 100000 10 0 1 1 >h
	quick lincheck h >out
	assert_file out linearizable
}

# --- record ----------------------------------------------------------------------

@test "lincheck record: a command becomes a line; output and status pass through" {
	run -0 lincheck record -p me -o h write x 1 true
	run -0 lincheck record -p me -o h read x - printf '1\n'
	assert_eq "$output" 1
	assert_eq "$(stat -c %a h)" 600 mode
	assert_eq "$(cut -f 3- h)" $'me\twrite\tx\t1\t-\tok\nme\tread\tx\t-\t1\tok'
	run -0 lincheck h
	# in words of the clock: started before it ended before the next started
	awk '{ if ($1 < last || $2 < $1) exit 1; last = $2 }' h
}

@test "lincheck record: classes by exit status" {
	run -3 lincheck record -o h write x 1 sh -c 'exit 3'
	run -3 lincheck record --fail-status 1,3 -o h write x 2 sh -c 'exit 3'
	run -4 lincheck record --fail-status 1,3 -o h write x 3 sh -c 'exit 4'
	run -127 lincheck record -o h write x 4 ./nosuch
	: >plain
	run -126 lincheck record -o h write x 5 ./plain
	# shellcheck disable=SC2016
	run -137 lincheck record -o h write x 6 sh -c 'kill -KILL $$'
	assert_eq "$(cut -f 6,8 h | tr '\t\n' ': ')" \
	    '1:info 2:fail 3:info 4:fail 5:fail 6:info '
	assert_eq "$(cut -f 2 h | grep -c '^-$')" 3 'open ends'
}

@test "lincheck record: odd arguments and results survive" {
	local odd=$'a\tb\nc\\d'
	run -0 lincheck record -p 'p 1' -o h put "$odd" - printf 'x\t\ny\n\n'
	run -0 lincheck record -p 'p 1' -o h put '\-' '\-' printf -- '-'
	run -0 lincheck record -p 'p 1' -o h put k - true
	run -0 lincheck record -p 'p 1' --keep-empty -o h put k - true
	run -0 lincheck record -p 'p 1' -o h put k - -- true
	assert_eq "$(cut -f 3- h | head -n 2)" "$(printf '%s\n' \
	    'p 1	put	a\tb\nc\\d	-	x\t\ny\n	ok' \
	    'p 1	put	\-	\-	\-	ok')"
	assert_eq "$(cut -f 7 h | tail -n 3 | tr '\n' ,)" '-,,-,'
	run -0 lincheck h
}

@test "lincheck record: usage" {
	run -64 lincheck record
	run -64 lincheck record -o h read x -
	run -64 lincheck record read x - true
	run -64 lincheck record -o h --fail-status 0 read x - true
	run -64 lincheck record -o h --fail-status 1,x read x - true
	run -64 lincheck record -o h -W x read x - true
	run -73 lincheck record -o no/such/h read x - true
}

@test "lincheck record: -W and signals leave the outcome open" {
	run -79 lincheck record -W 50ms -o h write x 1 sleep 60
	assert_eq "$(cut -f 2,8 h)" $'-\tinfo'
	spawn lincheck record -o h2 write x 1 sh -c 'echo go; exec sleep 60'
	wait_until 5 grep -q go "$spawn_out"
	kill -TERM "$spawned"
	wait_status 143
	assert_eq "$(cut -f 2,8 h2)" $'-\tinfo'
	# A child of the command that keeps its output open is not waited for.
	run -0 lincheck record -o h3 read x - sh -c 'sleep 60 & echo $! >pid; echo 1'
	kill "$(cat pid)"
	assert_eq "$(cut -f 7,8 h3)" $'1\tok'
}

@test "lincheck record: what does not heed TERM is killed" {
	# shellcheck disable=SC2016
	run -79 lincheck record -W 50ms -o h write x 1 \
	    perl -e '$SIG{TERM} = "IGNORE"; open F, ">pid"; print F $$; close F; sleep(60)'
	assert_eq "$(cut -f 2,8 h)" $'-\tinfo'
	run ! kill -0 "$(cat pid)"
}

@test "lincheck record: INT and HUP reach the command's whole group" {
	local sig=INT
	for sig in INT HUP; do
		# Without job control a background process ignores INT.
		# shellcheck disable=SC2016
		spawn perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' \
		    lincheck record -o "h.$sig" write x 1 \
		    perl -e '$SIG{INT} = "DEFAULT"; fork; $| = 1; print "go\n"; sleep(60)'
		wait_until 5 grep -q go "$spawn_out"
		kill -"$sig" "$spawned"
		wait_status $((128 + $(kill -l "$sig")))
		assert_eq "$(cut -f 2,8 "h.$sig")" $'-\tinfo' "$sig"
	done
}

@test "lincheck record: output beyond 16 MiB is not a result" {
	# shellcheck disable=SC2016
	run -79 sh -c 'lincheck record -o h read x - head -c 20M /dev/zero |
	    wc -c >seen; exit 79'
	[ "$(cat seen)" -gt $((16 << 20)) ]
	assert_eq "$(cut -f 7,8 h)" $'-\tinfo'
}

@test "lincheck record: a torn line stays alone" {
	printf '1\t2\tp\twri' >h
	run -0 lincheck record -p p -o h write k 1 true
	assert_eq "$(wc -l <h)" 2 lines
	assert_match "$(tail -n 1 h)" $'\tp\twrite\tk\t1\t-\tok$'
	run -65 lincheck h
	assert_match "$stderr" 'line 1: 4 fields, not 8'
}

@test "lincheck record: output that cannot be passed on is 74, and recorded" {
	[ -w /dev/full ] || skip 'no /dev/full'
	run -74 sh -c 'lincheck record -p p -o h read k - echo 1 >/dev/full'
	assert_match "$(cat h)" $'\tp\tread\tk\t-\t1\tok$'
	# Its reader has seen enough: not our failure.
	run -0 bash -c 'set -o pipefail
	    lincheck record -p p -o h read k - seq 100000 | head -n 1'
}

@test "lincheck record: many clients, one file" {
	local p i n pids=()
	for p in 1 2 3 4 5 6 7 8; do
		(for i in {1..25}; do
			lincheck record -p $p -o h write k "$p.$i.$(printf '%0500d' 0)" \
			    true
		done) 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	assert_eq "$(wc -l <h)" 200 lines
	assert_eq "$(awk -F '\t' 'NF != 8' h | wc -l)" 0 'torn lines'
	n=$(cut -f 6 h | sort -u | wc -l)
	assert_eq "$n" 200 values
	run -0 lincheck h
}

@test "lincheck record: a full disk leaves no half line" {
	[ -w /dev/full ] || skip 'no /dev/full'
	run -74 lincheck record -o /dev/full write k 1 true
	assert_match "$stderr" 'is not recorded'
}

# --- the examples of lincheck-history(5) ---------------------------------------------

@test "lincheck: the examples of lincheck-history(5) are read, and agree" {
	local page=$BATS_TEST_DIRNAME/../man/lincheck-history.5 i
	awk '/^\.Bd/ { n++; next } /^\.Ed/ { in_ = 0; next }
	    n > 0 && !/^\./ { print >"example." n }' "$page"
	for i in 1 2 3; do
		run -0 lincheck -v "example.$i"
		assert_eq "${lines[0]}" linearizable "example $i"
		assert_match "$stderr" 'model register, 2 operations'
	done
	assert_eq "$(ls example.*)" $'example.1\nexample.2\nexample.3'
}

# --- the examples of lincheck(1) ---------------------------------------------------

# Block n of the page, as somebody would type it.
example() {
	awk -v n="$1" '/^\.Bd/ { if (++i == n) on = 1; next } /^\.Ed/ { on = 0 }
	    on && !/^\./ { gsub(/\\e/, "\\"); print }' \
	    "$BATS_TEST_DIRNAME/../man/lincheck.1"
}

@test "lincheck: example: verdict and levels of a file" {
	stale >history.edn
	run -1 lincheck history.edn
	assert_eq "${lines[0]}" not-linearizable
	run -1 lincheck -c all history.edn
	assert_eq "${lines[0]}" sequential
	grep -q '^\.Dl lincheck -c all history.edn$' \
	    "$BATS_TEST_DIRNAME/../man/lincheck.1"
}

@test "lincheck: example: a file updated without a lock is no register" {
	example 2 >script
	assert_match "$(cat script)" 'lincheck --init 0 h'
	run -1 bash script 3>&-
	assert_eq "${lines[0]}" not-linearizable
	assert_eq "${lines[1]}" 'key n: lost update'
}

@test "lincheck: example: redis-server is a register" {
	if ! command -v redis-server >/dev/null; then
		peers=$("$BATS_TEST_DIRNAME"/peers.sh redis-server redis-tools \
		    2>/dev/null) || skip 'redis-server is not to be had'
		PATH=$PATH:$peers
	fi
	spawn redis-server --port 0 --unixsocket "$PWD/s" --save '' --appendonly no
	wait_until 10 redis-cli -s s ping
	# The page takes a server on the usual port for granted.
	mkdir bin
	printf '#!/bin/sh\nexec %s -s %s/s "$@"\n' "$(command -v redis-cli)" \
	    "$PWD" >bin/redis-cli
	chmod +x bin/redis-cli
	example 1 >script
	assert_match "$(cat script)" 'lincheck h'
	PATH=$PWD/bin:$PATH run -0 bash script 3>&-
	assert_eq "$output" linearizable
	assert_eq "$(wc -l <h)" 48 operations
	run -0 lincheck -v h
	assert_match "$stderr" 'model kv, 48 operations, 1 keys'
}
