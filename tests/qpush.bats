#!/usr/bin/env bats
# shellcheck disable=SC2154	# bats sets status, output, stderr

bats_require_minimum_version 1.8.0
load helpers
load queue

# --- what is in a queue ----------------------------------------------------------

# All payloads, each followed by '|', taken out.
taken() { qpop -0a "$1" | tr '\0' '|'; }

# key:payload|..., "-" for no key.
keyed() {
	qpop -aJ "$1" | jq -rj '(.key // "-") + ":" + .payload + "|"'
}

depth_is() { [ "$(qdepth "$1" 2>/dev/null)" = "$2" ]; }

# Begin qpush on a FIFO that this shell then writes to, as descriptor 8, until
# it closes that: from_fifo [option ...] queue
from_fifo() {
	[ -p in ] || mkfifo in
	# shellcheck disable=SC2016
	spawn env --default-signal=INT sh -c 'exec qpush "$@" <in' - "$@"
	exec 8>in
}

# Flushes of the log that a command makes: syncs cmd ...
syncs() {
	traced -f -o trace -e trace=fdatasync,fsync,sync_file_range "$@" &&
	grep -cE 'f(data)?sync\(' trace
}

last_line() { tail -n 1 <<<"$stderr"; }

# --- messages and framing ------------------------------------------------------------

@test "qpush: operands are messages, exactly" {
	run -0 qpush q one '' $'two\nlines' -n --
	assert_eq "$output" '' stdout
	assert_eq "$stderr" '' stderr
	assert_eq "$(taken q)" $'one||two\nlines|-n|--|'
	run -0 qpush -- q last
	assert_eq "$(taken q)" 'last|'
}

@test "qpush: lines, an empty one, a last one without newline" {
	printf 'a\n\nb c\nend' | qpush q
	assert_eq "$(taken q)" 'a||b c|end|'
}

@test "qpush: empty input is no message and makes the queue" {
	run -0 qpush q </dev/null
	assert_eq "$(qdepth q)" 0
	run -0 qpush -L q </dev/null
	assert_eq "$(qdepth q)" 0
}

@test "qpush: -0 and --null" {
	printf 'a\nb\0c\0' | qpush -0 q
	printf 'd\0\0e' | qpush --null q
	assert_eq "$(taken q)" $'a\nb|c|d||e|'
}

@test "qpush: -d and --delimiter" {
	printf 'a,b,c' | qpush -d , q
	printf 'd\te' | qpush --delimiter '\t' q
	printf 'fxg' | qpush -d '\x78' q
	assert_eq "$(taken q)" 'a|b|c|d|e|f|g|'
	run -64 qpush -d ab q x
	assert_match "$stderr" '-d ab: not a delimiter'
}

@test "qpush: -L and --length, also cut off" {
	printf '\0\0\0\3a\nb\0\0\0\0\0\0\0\1c' | qpush -L q
	assert_eq "$(taken q)" $'a\nb||c|'
	run -65 qpush --length q < <(printf '\0\0\0\1a\0\0\0\5bc')
	assert_match "$stderr" 'record 2: the input ends in the middle'
	assert_eq "$(last_line)" 'qpush: stored 1'
	assert_eq "$(taken q)" 'a|'
}

@test "qpush: -w and --whole, also empty" {
	printf 'a\nb\n' | qpush -w q
	qpush --whole q </dev/null
	assert_eq "$(taken q)" $'a\nb\n||'
}

@test "qpush: the last framing given holds" {
	printf 'a\nb\0c' | qpush -w -L -0 q
	assert_eq "$(taken q)" $'a\nb|c|'
}

@test "qpush: all bytes, and 16 MiB, come out as they went in" {
	head -c 16777216 /dev/urandom >big
	qpush -w q <big
	printf '%b' "$(printf '\\x%02x' {0..255})" >bytes
	qpush -w q <bytes
	qpop -w q | cmp - big
	qpop -w q | cmp - bytes
}

@test "qpush: a million lines, byte for byte" {
	seq -f 'line %.0f' 1000000 >lines
	qpush q <lines
	assert_eq "$(qdepth q)" 1000000
	qpop -a q | cmp - lines
	assert_eq "$(qdepth q)" 0
	# And through a pipe, in pieces that end anywhere.
	dd if=lines bs=777 status=none | qpush q
	qpop -a q | cmp - lines
}

# --- keys -------------------------------------------------------------------------------

@test "qpush: -k and --key, the empty one too" {
	qpush -k a q 1
	qpush --key '' q 2
	qpush q 3
	assert_eq "$(keyed q)" 'a:1|:2|-:3|'
}

@test "qpush: -K and --key-delimiter" {
	printf 'a:1\n:2\n3\nb:4:5\nc:\n' | qpush -K : q
	printf 'd\t6\n' | qpush --key-delimiter '\t' q
	printf 'e=>7\nf=8\n' | qpush -K '=>' q
	assert_eq "$(keyed q)" 'a:1|:2|-:3|b:4:5|c:|d:6|e:7|-:f=8|'
	run -64 qpush -K '' q
}

@test "qpush: -F and --key-field, by blanks" {
	printf '%s\n' 'x a 1' $'  y\t b' | qpush -F 2 q
	qpush --key-field 1 q 'one two'
	assert_eq "$(keyed q)" $'a:x a 1|b:  y\t b|one:one two|'
}

@test "qpush: -F with a separator" {
	printf '%s\n' 'x,a,1' 'y,,2' 'z,c' | qpush -F 2:, q
	printf 'u\tv\n' | qpush -F '1:\t' q
	assert_eq "$(keyed q)" $'a:x,a,1|:y,,2|c:z,c|u:u\tv|'
}

@test "qpush: a record without the field is refused" {
	run -65 qpush -F 2 q < <(printf 'a b\nc d\ne\nf g\n')
	assert_match "$stderr" 'record 3: there is no field 2'
	assert_eq "$(last_line)" 'qpush: stored 2'
	assert_eq "$(taken q)" 'a b|c d|'
	run -65 qpush -F 3:, q a,b
	run -65 qpush -I 2 q alone
	assert_eq "$(last_line)" 'qpush: stored 0'
}

@test "qpush: not a field" {
	for field in 0 -1 x '' 1: 1:ab 70000 12345678901; do
		run -64 qpush -F "$field" q a
		assert_match "$stderr" "not a field's number"
		run -64 qpush -I "$field" q a
	done
}

@test "qpush: a key of 64 KiB, not of a byte more, not with a NUL" {
	head -c 65536 /dev/zero | tr '\0' k >key
	{ cat key; echo :long; } | qpush -K : q
	assert_eq "$(qpop -J q | jq -r .key | wc -c)" 65537
	run -65 qpush -K : q < <(printf 'a:1\nk'; cat key; echo :2)
	assert_match "$stderr" 'record 2: the key is longer than 64k'
	assert_eq "$(last_line)" 'qpush: stored 1'
	run -65 qpush -k "k$(<key)" q x
	assert_eq "$stderr" $'qpush: -k: longer than 64k\nqpush: stored 0'
	run -65 qpush -i "k$(<key)" q x
	run -65 qpush -K : q < <(printf 'a\0b:1\n')
	assert_match "$stderr" 'record 1: there is a NUL in the key'
	run -65 qpush -I 1 q < <(printf 'a\0b 1\n')
	assert_match "$stderr" 'record 1: there is a NUL in the id'
}

# --- ids ------------------------------------------------------------------------------------

@test "qpush: -i and --id store once" {
	run -0 qpush --print-seq -i x q first
	first=$output
	run -0 qpush --print-seq --id x q second
	assert_eq "$output" "$first" 'number of the original'
	run -0 qpush --print-seq -i y q third
	assert_eq "$(taken q)" 'first|third|'
	# Also when it was taken.
	qpush -i x q again
	assert_eq "$(taken q)" ''
}

@test "qpush: -I and --id-field" {
	printf '%s\n' 'a 1' 'b 2' 'a 3' | qpush -I 1 q
	printf '%s\n' '4,b' '5,c' | qpush --id-field 2:, q
	assert_eq "$(taken q)" 'a 1|b 2|5,c|'
	run -0 qpush -I 1 -k k q 'z 9'
	assert_eq "$(qpop -J q | jq -r '.key + .id')" kz
}

@test "qpush: -i is for one message" {
	run -64 qpush -i x q a b
	assert_match "$stderr" '-i is for one message only'
	run -65 qpush -i x q < <(printf 'a\nb\n')
	assert_match "$stderr" 'record 2: -i is for one message only'
	assert_eq "$(last_line)" 'qpush: stored 1'
	assert_eq "$(taken q)" 'a|'
}

# --- delay ------------------------------------------------------------------------------------

@test "qpush: -D and --delay" {
	qpush -D 1h q later
	qpush --delay 300ms q soon
	qpush q now
	assert_eq "$(taken q)" 'now|'
	assert_eq "$(qpop -W 10 q)" soon
	assert_eq "$(qdepth -S delayed q)" 1
	run -64 qpush -D x q a
}

# --- all or nothing ----------------------------------------------------------------------------

@test "qpush: -A and --atomic, all or nothing" {
	printf 'a\nb\n' | qpush -A q
	qpush --atomic q c d
	assert_eq "$(taken q)" 'a|b|c|d|'
	run -65 qpush -A -F 2 q < <(printf 'a b\nc\n')
	assert_eq "$(last_line)" 'qpush: stored 0'
	run -65 qpush -A -F 2 q 'a b' c
	assert_eq "$(last_line)" 'qpush: stored 0'
	assert_eq "$(qdepth q)" 0
}

@test "qpush: -A of megabytes, and its bad end" {
	seq -f '%.0f some more text to make it long' 200000 >lines
	mkdir tmp
	TMPDIR=$PWD/tmp qpush -A --print-seq q <lines >numbers
	first=$(head -n 1 numbers)
	seq "$first" $((first + 199999)) | cmp - numbers
	assert_eq "$(ls tmp)" '' 'what is left of the file'
	qpop -a q | cmp - lines
	{ cat lines; head -c 17000000 /dev/zero; } >bad
	TMPDIR=$PWD/tmp run -65 qpush -A q <bad
	assert_eq "$(last_line)" 'qpush: stored 0'
	assert_eq "$(qdepth q)" 0
	TMPDIR=$PWD/none run -66 qpush -A q <lines
	assert_match "$stderr" 'qpush.*none/qpush'
}

@test "qpush: -A with ids may be large too" {
	seq 100000 | sed 's/$/ some more text to make it long enough/' >lines
	qpush -A -I 1 q <lines
	qpush -A -I 1 q <lines
	qpop -a q | cmp - lines
}

@test "qpush: atomic batches of two producers do not mix" {
	seq -f 'a %.0f some text' 60000 >a
	seq -f 'b %.0f some text' 60000 >b
	spawn qpush -A q <a
	local first=$spawned
	spawn qpush -A q <b
	wait_status 0 "$first"
	wait_status 0
	qpop -a q >out
	cmp out <(cat a b) || cmp out <(cat b a)
}

@test "qpush: -A and a message that can never fit" {
	qctl create q max-messages=3
	# Told before the input ends.
	from_fifo -A q
	printf '1\n2\n3\n4\n' >&8
	wait_status 65
	exec 8>&-
	assert_match "$(<"$spawn_err")" 'more than max-messages \(3\)'
	assert_match "$(<"$spawn_err")" 'stored 0$'
	qpush -A q 1 2 3
	run -75 qpush -A -W 0 q 4
	assert_eq "$(taken q)" '1|2|3|'
}

@test "qpush: -A killed while it reads leaves nothing" {
	from_fifo -A q
	seq 300000 >&8
	kill -KILL "$spawned"
	exec 8>&-
	wait_status 137
	[ ! -e q ] || assert_eq "$(qdepth q)" 0
}

# --- JSON -----------------------------------------------------------------------------------------

@test "qpush: -J and --json take back what qpop -J wrote" {
	printf 'k:a "quoted" \\ line\n\xff:\xfe\n:\n' | qpush -K : old
	printf 'a\0b\n' | qpush -i '7 of 9' -w old
	qpop -aJ old >dump
	qpush -J new <dump
	qpop -aJ new >again
	cmp <(jq -c 'del(.ts)' dump) <(jq -c 'del(.ts)' again)
	cmp <(jq -r .ts dump | sort) <(jq -r .ts again | sort)
	qpush --json third "$(sed -n 4p dump)"
	assert_eq "$(qpop -J third | jq -r .id)" '7 of 9'
}

@test "qpush: -J keeps a delay and forgets a wrong time" {
	qpush -J q '{"payload":"later","due":"2200-01-01T00:00:00Z"}' \
	    '{"payload":"now","due":"2001-01-01T00:00:00Z","ts":"2200-01-01T00:00:00Z"}'
	assert_eq "$(qdepth -S delayed q)" 1
	assert_eq "$(qpop -J q | jq -r '.ts < "2200"')" true
}

@test "qpush: -J refuses what is no message" {
	run -65 qpush -J q < <(echo '{"payload":"a"}'; echo '{"key":"b"}')
	assert_match "$stderr" 'record 2: not a message in JSON: it has no payload'
	assert_eq "$(last_line)" 'qpush: stored 1'
	for bad in x '' '[]' '{"payload":"a"' '{"payload":"a"}}' \
	    '{"payload":1}' '{"payload_b64":"***"}' '{"payload":"a","ts":"x"}'; do
		run -65 qpush -J q "$bad"
	done
	run -65 qpush -J q '{"payload":"a","key":"b\u0000"}'
	run -64 qpush -J -k key q x
	run -64 qpush -J -I 1 q x
	run -64 qpush -J -D 1 q x
	assert_eq "$(taken q)" 'a|'
}

# --- limits ------------------------------------------------------------------------------------------

@test "qpush: -W and --wait on a full queue" {
	qctl create q max-messages=10
	run -75 qpush -W 0 q < <(seq 25)
	assert_match "$stderr" 'q: the queue is full'
	assert_eq "$(last_line)" 'qpush: stored 10'
	qpop -n 3 q >out
	assert_file out $'1\n2\n3'
	run -75 qpush --wait 50ms q < <(seq 11 25)
	assert_eq "$(last_line)" 'qpush: stored 3'
	assert_eq "$(taken q)" '4|5|6|7|8|9|10|11|12|13|'
	run -64 qpush -W x q a
}

@test "qpush: a full queue makes the producer wait" {
	qctl create q max-messages=10
	seq 200 >lines
	spawn qpush q <lines
	wait_until 5 depth_is q 10
	wait_until 5 eval '[ "$(qdepth -J q | jq .producers_waiting)" = 1 ]'
	for ((i = 0; i < 200; i++)); do
		qpop -W 10 q || break
	done >out
	wait_status 0
	cmp out lines
	assert_eq "$(qdepth -J q | jq .producers_waiting)" 0
}

@test "qpush: what can never fit is refused at once" {
	qctl create q max-message=100 max-messages=1000
	head -c 100 /dev/zero | qpush -w q
	run -65 qpush -w q < <(head -c 101 /dev/zero)
	assert_eq "$(last_line)" 'qpush: stored 0'
	run -65 qpush q < <(echo fits; head -c 101 /dev/zero)
	assert_match "$stderr" 'record 2: longer than max-message'
	assert_eq "$(last_line)" 'qpush: stored 1'
	run -65 qpush -k "$(printf '%200s' key)" q "$(printf '%101s' x)"
	assert_match "$stderr" 'longer than max-message \(100\)'
	qpush -k "$(printf '%200s' key)" q "$(printf '%100s' x)"
	# The limit is on the payload, not on key and payload.
	printf '%200s:%100s' key x | qpush -K : q
	run -65 qpush -K : q < <(printf 'k:%101s' x)
	run -65 qpush -L q < <(printf '\0\xff\xff\xff')
	assert_match "$stderr" 'record 1: longer than max-message'
}

@test "qpush: max-bytes and max-per-key make it wait too" {
	qctl create q max-bytes=1M
	run -75 qpush -W 0 q < <(seq -f '%.0f a line of some length or other' 100000)
	stored=$(last_line)
	stored=${stored##* }
	[ "$stored" -gt 1000 ] && [ "$stored" -lt 30000 ]
	assert_eq "$(qdepth q)" "$stored"
	qctl create k max-per-key=3
	run -75 qpush -W 0 -F 1 k < <(printf '%s\n' a b a b a a b)
	assert_eq "$(last_line)" 'qpush: stored 5'
}

@test "qpush: a closed queue answers 75" {
	qpush q a
	qctl close q
	run -75 qpush q b
	assert_match "$stderr" 'q: the queue is closed'
	run -75 qpush q < <(echo b)
	assert_eq "$(last_line)" 'qpush: stored 0'
	qctl open q
	qpush q b
	assert_eq "$(taken q)" 'a|b|'
}

# --- promptness, and the price of safety --------------------------------------------------------

@test "qpush: a lone message is not held back" {
	from_fifo q
	for ((i = 1; i <= 3; i++)); do
		echo "message $i" >&8
		watch=$spawned wait_until 5 depth_is q "$i"
	done
	printf 'half' >&8
	echo ' and half' >&8
	watch=$spawned wait_until 5 depth_is q 4
	printf 'end' >&8
	exec 8>&-
	wait_status 0
	assert_eq "$(taken q)" 'message 1|message 2|message 3|half and half|end|'
}

@test "qpush: one flush for what arrives together" {
	qpush q first
	seq 100000 >lines
	run -0 syncs sh -c 'cat lines | qpush q'
	# 100,000 lines in batches of a megabyte or so: a handful.
	[ "$output" -ge 1 ] && [ "$output" -le 40 ]
}

@test "qpush: exit 0 comes after a flush later than the write" {
	qpush q first
	traced -f -s 200 -o trace -e trace=pwrite64,pwritev,fdatasync,fsync,exit_group \
	    qpush q second
	awk '/pwrite/ && /second/ { written = NR }
	    /f(data)?sync.* = 0/ { synced = NR }
	    /exit_group\(0\)/ { exited = NR }
	    END { exit !(written && written < synced && synced < exited) }' \
	    trace
}

@test "qpush: -S and --no-sync do not flush" {
	qpush q first
	run syncs qpush -S q second
	assert_eq "$status $output" '1 0'
	run syncs qpush --no-sync q < <(seq 1000)
	assert_eq "$status $output" '1 0'
	assert_eq "$(qdepth q)" 1002
}

@test "qpush: sixteen at once share flushes" {
	qpush q first
	cat >one <<-'END'
	for i in 1 2 3 4 5 6 7 8; do qpush q "$1.$i" || exit; done
	END
	seq 16 >sixteen
	traced -f -c -o counts -e trace=fdatasync,fsync \
	    xargs -P 16 -n 1 sh one <sixteen
	assert_eq "$(qdepth q)" 129
	calls=$(awk '$NF ~ /^f(data)?sync$/ { n += $4 } END { print n + 0 }' \
	    counts)
	echo "flushes of 128 pushes: $calls"
	[ "$calls" -ge 1 ] && [ "$calls" -lt 110 ]
}

@test "qpush: keeps within its memory" {
	sanitized && skip 'counts the sanitizer'
	from_fifo q
	seq -f '%.0f a line of some length or other, to have it long' 500000 >&8
	watch=$spawned wait_until 20 depth_is q 500000
	kib=$(awk '/^RssAnon/ { print $2 }' "/proc/$spawned/status")
	exec 8>&-
	wait_status 0
	echo "RssAnon $kib KiB"
	[ "$kib" -le 32768 ]
}

# --- --print-seq, -q --------------------------------------------------------------------------

@test "qpush: --print-seq" {
	qpush --print-seq q a b >numbers
	printf 'c\nd' | qpush --print-seq q >>numbers
	printf 'e\nf' | qpush --print-seq -I 1 q >>numbers
	qpush -A --print-seq q g h >>numbers
	assert_eq "$(qpop -aJ q | jq .seq)" "$(<numbers)"
	assert_eq "$(sort -nu numbers | wc -l)" 8
	run -0 qpush --print-seq q </dev/null
	assert_eq "$output" ''
	run -74 eval 'qpush --print-seq q e >/dev/full'
	assert_match "$stderr" 'standard output'
	assert_eq "$(last_line)" 'qpush: stored 1'
}

# Lines for more than a second, then the end.
slowly() {
	local end=$(($(now_us) + 1500000))
	while [ "$(now_us)" -lt "$end" ]; do
		echo line
		nap
	done
}

@test "qpush: progress on a terminal, none with -q or elsewhere" {
	slowly | script -qec 'cat | qpush q' /dev/null >seen
	assert_match "$(<seen)" 'qpush: [0-9]+ stored, [0-9]+/s'
	slowly | script -qec 'cat | qpush -q q' /dev/null >seen
	run grep stored seen
	assert_eq "$status" 1
	slowly | script -qec 'cat | qpush --quiet q' /dev/null >seen
	run grep stored seen
	assert_eq "$status" 1
	slowly >lines
	slowly | qpush q 2>seen
	assert_eq "$(<seen)" ''
}

# --- failures --------------------------------------------------------------------------------------

@test "qpush: usage" {
	run -64 qpush
	assert_match "$stderr" '^usage: qpush '
	run -64 qpush -k a -K : q x
	run -64 qpush -k a -F 1 q x
	run -64 qpush -i a -I 1 q x
	run -64 qpush --nonsense q x
	run -64 qpush -k
	run -0 qpush -h
	assert_match "$output" '^usage: qpush '
	run -0 qpush --help
	run -0 qpush -V
	assert_match "$output" '^qpush [0-9]'
	run -0 qpush --version
	[ ! -e q ]
}

@test "qpush: not a queue answers 65" {
	echo text >file
	mkdir dir
	touch dir/file
	run -65 qpush file x
	assert_match "$stderr" 'file: not a queue'
	assert_eq "$(last_line)" 'qpush: stored 0'
	run -65 qpush dir x
	assert_match "$stderr" 'dir: not a queue'
}

@test "qpush: a queue that cannot be made answers 73, or 77" {
	run -73 qpush none/q x
	assert_match "$stderr" 'none/q: cannot create'
	assert_eq "$(last_line)" 'qpush: stored 0'
	need_nobody
	mkdir closed
	chmod 755 closed
	run -77 as_nobody qpush "$PWD/closed/q" x
}

@test "qpush: no permission answers 77" {
	need_nobody
	qpush q a
	run -77 as_nobody qpush "$PWD/q" x
	assert_eq "$(last_line)" 'qpush: stored 0'
}

@test "qpush: a queue of a newer version answers 78" {
	qpush q a
	newer_version q
	run -78 qpush q b
	assert_match "$stderr" 'q: made by a newer version'
	assert_eq "$(last_line)" 'qpush: stored 0'
}

@test "qpush: no descriptors left answers 71" {
	sanitized && skip 'the leak checker spins without descriptors'
	qpush q a
	run -71 sh -c 'ulimit -n 6; exec qpush q b'
	assert_eq "$(last_line)" 'qpush: stored 0'
}

@test "qpush: a lock that is never given back is named, and answers 75" {
	qpush q a
	hold_lock 1 q
	run -75 qpush -W 0 q b
	assert_match "$stderr" 'q: process [0-9]+ holds .*; waiting'
	assert_match "$stderr" 'q: held by another process'
	assert_eq "$(last_line)" 'qpush: stored 0'
	run -75 qpush -q -W 0 q b
	assert_eq "$stderr" $'qpush: q: held by another process\nqpush: stored 0'
	spawn qpush q c
	stop "$holder_pid"
	wait_status 0
	assert_eq "$(taken q)" 'a|c|'
}

@test "qpush: a server's address answers 78" {
	run -78 qpush nats://localhost/q x
	assert_match "$stderr" 'nats://localhost/q: this build knows no nats://'
	assert_eq "$(last_line)" 'qpush: stored 0'
	[ ! -e nats: ]
}

@test "qpush: a failing flush answers 74" {
	qpush q a
	DSUTILS_FAULT=sync:1+:EIO run -74 qpush q b
	assert_eq "$(last_line)" 'qpush: stored 0'
	qpush q a	# mends what that left
	seq 100000 >lines
	DSUTILS_FAULT=sync:3+:EIO run -74 qpush q < <(cat lines lines lines)
	assert_match "$(last_line)" 'qpush: stored [0-9]+$'
	# What it counted is there, in order, whatever else is.
	stored=$(last_line)
	stored=${stored##* }
	[ "$stored" -gt 0 ]
	qpush q end
	qpop -a q | grep -vxE 'a|b|end' | head -n "$stored" |
	    cmp - <(cat lines lines lines | head -n "$stored")
}

@test "qpush: a full disk answers 75 with what is stored" {
	qpush q a
	seq -f '%.0f a line of some length or other' 100000 >lines
	DSUTILS_FAULT=write:2+:ENOSPC run -75 qpush q <lines
	stored=$(last_line)
	stored=${stored##* }
	[ "$stored" -lt 100000 ]
	tail -n +$((stored + 1)) lines | qpush q
	qpop -a q | cmp - <(echo a; cat lines)
}

@test "qpush: a queue removed under it answers 66" {
	qctl create q max-messages=1
	qpush q a
	spawn qpush q b
	wait_until 5 eval '[ "$(qdepth -J q | jq .producers_waiting)" = 1 ]'
	qctl rm q
	wait_status 66
	assert_match "$(<"$spawn_err")" 'q: the queue was removed'
}

@test "qpush: no standard input, or a directory, answers 74" {
	run -74 eval 'qpush q <&-'
	assert_eq "$(last_line)" 'qpush: stored 0'
	run -74 eval 'qpush q <.'
	assert_eq "$(last_line)" 'qpush: stored 0'
}

# --- signals -------------------------------------------------------------------------------------------

@test "qpush: TERM and INT store what came, drop half a record, and kill" {
	for sig in TERM INT; do
		from_fifo "q$sig"
		printf 'a\nb\nhal' >&8
		watch=$spawned wait_until 5 depth_is "q$sig" 2
		kill -s "$sig" "$spawned"
		wait_status $((128 + $(kill -l "$sig")))
		exec 8>&-
		assert_eq "$(<"$spawn_err")" 'qpush: stored 2'
		assert_eq "$(taken "q$sig")" 'a|b|'
	done
}

@test "qpush: a signal ends the wait for room" {
	qctl create q max-messages=2
	spawn qpush q <<<$'a\nb\nc'
	wait_until 5 eval '[ "$(qdepth -J q | jq .producers_waiting)" = 1 ]'
	kill -TERM "$spawned"
	wait_status 143
	assert_eq "$(tail -n 1 "$spawn_err")" 'qpush: stored 2'
	assert_eq "$(taken q)" 'a|b|'
}

@test "qpush: kill -9 keeps a prefix" {
	seq 2000000 >lines
	spawn qpush q <lines
	wait_until 5 eval '[ "$(qdepth q 2>/dev/null || echo 0)" -gt 0 ]'
	kill -KILL "$spawned"
	wait_status 137
	qpop -a q >out
	echo "$(wc -l <out) lines"
	[ -s out ]
	head -n "$(wc -l <out)" lines | cmp - out
}

# --- the page's examples --------------------------------------------------------------------------------

@test "qpush: examples of the page" {
	qpush mail 'welcome ada@example.org'
	seq 1000 | qpush numbers
	assert_eq "$(qpop mail)" 'welcome ada@example.org'
	assert_eq "$(qdepth numbers)" 1000

	mkdir -p tree/sub
	touch "tree/a b" $'tree/sub/new\nline'
	(cd tree && find . -type f -print0 | qpush -0 ../files)
	assert_eq "$(qpop -0a files | sort -z | tr '\0' '|')" \
	    $'./a b|./sub/new\nline|'
	(cd tree && find . -type f -printf '%h\t%p\0' |
	    qpush -0 -K '\t' ../files)
	assert_eq "$(qpop -aJ files | jq -r .key | sort | xargs)" '. ./sub'

	printf '%s\n' 'login ada' 'login bob' 'logout ada' |
	    qpush -F 2 events
	assert_eq "$(keyed events)" \
	    'ada:login ada|bob:login bob|ada:logout ada|'

	df -h | qpush -w reports
	assert_eq "$(qdepth reports)" 1
	printf '%s\n' debit credit | qpush -A ledger
	assert_eq "$(taken ledger)" 'debit|credit|'
	qpush -D 10m reminders 'water the plants'
	assert_eq "$(qdepth -S delayed reminders)" 1

	qpush -i "backup-$(date +%F)" jobs backup
	qpush -i "backup-$(date +%F)" jobs backup
	assert_eq "$(qdepth jobs)" 1

	qctl create small max-messages=2
	seq 5 >list
	if ! qpush -W 0 small <list 2>why; then
		stored=$(sed -n 's/^qpush: stored //p' why)
		tail -n +$((stored + 1)) list >later
	fi
	assert_file later $'3\n4\n5'

	qpush old a b
	qpop -aJ old | qpush -J new
	assert_eq "$(taken new)" 'a|b|'
}
