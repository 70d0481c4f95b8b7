bats_require_minimum_version 1.8.0
load helpers

# A queue "jobs" with these messages.
queue_of() {
	printf '%s\n' "$@" | qpush jobs
}

# Everything in the queue dies at its first try, with this status and word.
kill_all() {
	run qpop -a -r 1 "${@:3}" jobs sh -c "echo '$2' >&2; exit $1"
}

json() {	# member: from the first line of stdin
	head -n 1 | sed -E "s/.*\"$1\":\"?([^\",}]*).*/\1/"
}

info() { qctl info jobs | sed -n "s/^$1	//p"; }

# --- usage -------------------------------------------------------------------

@test "qctl: -h prints every verb, -V the version" {
	run -0 qctl -h
	assert_match "$output" '^usage: qctl create'
	assert_match "$output" 'qctl dead requeue'
	assert_eq "$stderr" ''
	run -0 qctl --help
	run -0 qctl -V
	assert_match "$output" '^qctl [0-9]'
	run -0 qctl --version
	run -0 qctl dead ls -h
	assert_match "$output" '^usage: qctl dead ls'
	run -0 qctl peek --help
	run -0 qctl peek --version
}

@test "qctl: wrong usage answers 64 and says what is wrong" {
	run -64 qctl
	run -64 qctl frobnicate jobs
	assert_match "$stderr" 'no such verb: frobnicate'
	run -64 qctl dead
	assert_match "$stderr" 'dead requeue'
	run -64 qctl dead frob jobs
	run -64 qctl peek
	run -64 qctl close jobs jobs
	run -64 qctl close -n 1 jobs
	run -64 qctl close --force jobs
	assert_match "$stderr" 'close has no --force'
	run -64 qctl set jobs
	run -64 qctl set jobs tries
	run -64 qctl peek -n 0 jobs
	run -64 qctl peek -S sleepy jobs
	run -64 qctl peek -d ab jobs
	run -64 qctl wait -W soon jobs
}

@test "qctl: no queue answers 66 in every verb, and makes none" {
	local verb
	for verb in info peek 'ack' 'dead ls' 'group ls' close open wait purge \
	    compact verify repair dump rm; do
		read -ra words <<<"$verb"
		if [ "$verb" = ack ]; then
			run -66 qctl ack jobs receipt
		else
			run -66 qctl "${words[@]}" jobs
		fi
		assert_match "$stderr" 'jobs: no such queue' "$verb"
		[ ! -e jobs ]
	done
	run -66 qctl set jobs tries=1
}

@test "qctl: a directory that is no queue is refused and left alone" {
	mkdir plain
	echo mine >plain/file
	for verb in info peek verify repair rm; do
		run qctl "$verb" plain
		assert_match "$status" '^6[56]$' "$verb"
		assert_file plain/file mine
	done
}

@test "qctl: nats:// answers 78" {
	run -78 qctl info nats://localhost/jobs
	run -78 qctl create nats://localhost/jobs
}

# --- create, set, info, rm --------------------------------------------------------

@test "qctl create: defaults, and 73 when there is one" {
	run -0 qctl create jobs
	assert_eq "$(info max-messages)" 0
	assert_eq "$(info mode)" 600
	assert_eq "$(info groups)" main
	assert_eq "$(stat -c %a jobs)" 700
	run -73 qctl create jobs
	assert_match "$stderr" 'jobs: there is one already'
	run -73 qctl create jobs max-messages=3
	assert_eq "$(info max-messages)" 0 'of the old one'
}

@test "qctl create: attributes, all of them or no queue" {
	run -0 qctl create jobs max-messages=7 mode=660 "group=$(id -g)" \
	    groups=a,b segment=1M tries=2 backoff=1.5s
	assert_eq "$(info max-messages)" 7
	assert_eq "$(info tries)" 2
	assert_eq "$(info backoff)" 1.5s
	assert_eq "$(info mode)" 660
	assert_eq "$(info groups)" a,b
	assert_eq "$(stat -c %a jobs)" 770
	run -64 qctl create other max-messages=7 tries=many
	assert_match "$stderr" 'tries=many'
	[ ! -e other ]
	run -64 qctl create other no-such=1
	run -64 qctl create other mode=600x
	run -64 qctl create other mode=777
	run -64 qctl create other mode=060
	run -64 qctl create other segment=big
	run -64 qctl create other segment=1
	run -64 qctl create other groups=a,,b
	run -64 qctl create other group=no-such-group-here
	[ ! -e other ]
	assert_eq "$(find . -maxdepth 1 -name '.tmp-*')" ''
}

@test "qctl create: what stands in the way is kept, status 73" {
	mkdir jobs
	echo mine >jobs/file
	run -73 qctl create jobs
	run -73 qctl create jobs tries=1
	assert_file jobs/file mine
	echo mine >file
	run qctl create file tries=1
	assert_eq "$status" 73
	assert_file file mine
	run qctl create no/such/place tries=1
	assert_match "$status" '^(66|73)$'
	run -73 qctl create "$(printf '%0300d' 1)" tries=1
}

@test "qctl create: many at once make one queue, and pushes meet no half of it" {
	local round i pids made
	for round in {1..20}; do
		pids=() made=0
		for i in {1..4}; do
			qctl create "jobs.$round" 2>/dev/null &
			pids+=($!)
		done
		for i in "${pids[@]}"; do
			wait "$i" && made=$((made + 1))
		done
		assert_eq "$made" 1 'creators that made it'
		pids=()
		for i in {1..8}; do
			qpush "queue.$round" "$i" &
			pids+=($!)
		done
		for i in "${pids[@]}"; do
			wait "$i"
		done
		assert_eq "$(qdepth "queue.$round")" 8
	done
}

@test "qctl create --force-fs: on a network file system, else 78" {
	DSUTILS_FS=nfs run -78 qctl create jobs
	assert_match "$stderr" 'network file system'
	DSUTILS_FS=nfs run -78 qctl create jobs tries=1
	DSUTILS_FS=nfs run -0 qctl create --force-fs jobs
	DSUTILS_FS=nfs run -0 qpush jobs one
	DSUTILS_FS=nfs run -0 qctl info jobs
	assert_match "$output" 'file-system	nfs'
	DSUTILS_FS=nfs run -0 qctl create --force-fs other tries=1
	assert_eq "$(qdepth jobs)" 1
}

@test "qctl set: takes effect, refuses what it does not know" {
	queue_of one
	run -0 qctl set jobs max-messages=1 max-message=8
	assert_eq "$(info max-messages)" 1
	run -75 qpush -W 0 jobs two
	run -65 qpush jobs 'longer than 8'
	run -64 qctl set jobs max-messages=few
	run -64 qctl set jobs frob=1
	run -0 qctl set jobs max-messages=0
	qpush jobs two
	assert_eq "$(qdepth jobs)" 2
}

@test "qctl set: every attribute that info tells of can be set to it" {
	local name value n=0
	queue_of one
	while IFS='	' read -r name value; do
		case $name in
		max-* | dedup-* | retain* | tries | backoff | closed | paused)
			run -0 qctl set jobs "$name=$value"
			n=$((n + 1))
			;;
		esac
	done < <(qctl info jobs)
	[ "$n" -ge 11 ]
}

@test "qctl set paused: nothing is delivered, pushes go on" {
	queue_of one
	run -0 qctl set jobs paused=yes
	run -1 qpop jobs
	run -1 qpop jobs true
	run -0 qpush jobs two
	spawn qpop -f jobs
	run -0 qctl set jobs paused=no
	wait_until 5 grep -qx two "$spawn_out"
	stop "$spawned"
}

@test "qctl info: text and JSON agree" {
	queue_of one two
	run -0 qctl info jobs
	assert_eq "$(info messages)" 2
	assert_eq "$(info dead)" 0
	assert_eq "$(info damaged)" 0
	assert_match "$(info id)" '^[0-9a-f]{32}$'
	run -0 qctl info -J jobs
	assert_eq "$(json messages <<<"$output")" 2
	assert_eq "$(json id <<<"$output")" "$(info id)"
	assert_match "$output" '"groups":\["main"\]'
	assert_match "$output" '"max-messages":'
	run -0 qctl info --json jobs
}

@test "qctl info: a file system in memory is not durable" {
	local dir
	[ "$(stat -fc %T /dev/shm)" = tmpfs ] || skip 'no tmpfs'
	dir=$(mktemp -d /dev/shm/qctl.XXXXXX)
	qpush "$dir/jobs" one
	run -0 qctl info "$dir/jobs"
	rm -rf "$dir"
	assert_match "$output" 'durable	no'
	assert_match "$output" 'file-system	tmpfs'
	[ "$(stat -fc %T .)" != tmpfs ] || skip 'only tmpfs'
	queue_of one
	assert_eq "$(info durable)" yes
}

@test "qctl rm: all is gone, waiting programs end with 66" {
	queue_of one
	qpop jobs >/dev/null
	spawn qpop -f jobs
	wait_until 5 sh -c 'qctl info jobs >/dev/null && ls /proc/'"$spawned"'/fd | grep -q 3'
	run -0 qctl rm jobs
	[ ! -e jobs ]
	wait_status 66
}

# --- close, open, wait ---------------------------------------------------------------

@test "qctl close: pushes answer 75 and qpop -f ends once drained" {
	queue_of one two
	run -0 qctl close jobs
	assert_eq "$(info closed)" yes
	run -75 qpush -W 0 jobs three
	run -0 timeout 20 qpop -f jobs
	assert_eq "$output" $'one\ntwo'
	run -0 qctl open jobs
	run -0 qpush jobs three
	assert_eq "$(qdepth jobs)" 1
}

@test "qctl wait: until nothing is left; -W bounds it with 75" {
	queue_of one
	run -75 qctl wait -W 0 jobs
	assert_match "$stderr" 'jobs: 1 left'
	run -75 qctl wait --wait 10ms jobs
	spawn qctl wait jobs
	qpop jobs
	wait_status 0
	run -0 qctl wait -W 0 jobs
}

@test "qctl wait: dead letters are not waited for, groups one by one" {
	queue_of one
	qctl group add jobs other
	kill_all 65 no
	run -75 qctl wait -W 0 jobs
	run -0 qctl wait -W 0 -g main jobs
	run -75 qctl wait -W 0 -g other jobs
	run -66 qctl wait -W 0 -g nobody jobs
	qpop -g other jobs
	run -0 qctl wait -W 0 jobs
}

# --- peek, dump ---------------------------------------------------------------------

@test "qctl peek: shows the first, takes nothing" {
	queue_of one two three
	run -0 qctl peek jobs
	assert_eq "$output" one
	run -0 qctl peek -n 2 jobs
	assert_eq "$output" $'one\ntwo'
	run -0 qctl peek -a jobs
	assert_eq "$output" $'one\ntwo\nthree'
	assert_eq "$(qdepth jobs)" 3
	run -0 qpop -J jobs
	assert_match "$output" '"attempt":1'
	run -0 qctl peek --all --count 1 jobs
	assert_eq "$output" two
	qpop -a jobs >/dev/null
	run -1 qctl peek jobs
	assert_eq "$output$stderr" ''
}

@test "qctl peek: framing" {
	queue_of one two
	qctl peek -0 -a jobs | cmp - <(printf 'one\0two\0')
	qctl peek --null -n 1 jobs | cmp - <(printf 'one\0')
	qctl peek -a -d , jobs | cmp - <(printf 'one,two,')
	qctl peek -a --delimiter '\t' jobs | cmp - <(printf 'one\ttwo\t')
	qctl peek -a -L jobs | cmp - <(printf '\0\0\0\3one\0\0\0\3two')
	qctl peek --length jobs | cmp - <(printf '\0\0\0\3one')
	qctl peek -a -w jobs | cmp - <(printf onetwo)
	qctl peek --whole jobs | cmp - <(printf one)
}

@test "qctl peek: by key, id, number and state" {
	local seq id
	qpush -k a jobs a1 a2
	qpush -k b -i b-id jobs b1
	qpush -k '' jobs empty
	qpush -D 1h jobs later
	qpush jobs plain
	run -0 qctl peek -a -k a jobs
	assert_eq "$output" $'a1\na2'
	run -0 qctl peek --key '' jobs
	assert_eq "$output" empty
	run -1 qctl peek -k c jobs
	run -0 qctl peek -i b-id jobs
	assert_eq "$output" b1
	id=$(qctl peek -J -k '' jobs | json id)
	run -0 qctl peek --id "$id" jobs
	assert_eq "$output" empty
	seq=$(qctl peek -J -i b-id jobs | json seq)
	run -0 qctl peek jobs "$seq"
	assert_eq "$output" b1
	run -1 qctl peek jobs 999999
	run -64 qctl peek jobs one
	run -0 qctl peek -S delayed jobs
	assert_eq "$output" later
	run -0 qctl peek -a -S ready jobs
	assert_eq "$output" $'a1\na2\nb1\nempty\nplain'
	run -0 qctl peek -a --state ready,delayed -k '' jobs
	run -1 qctl peek -S dead jobs
	run -1 qctl peek -S in-flight jobs
	run -1 qctl peek -S finished jobs
}

@test "qctl peek: finished messages while another group needs them" {
	queue_of one two
	qctl group add -q jobs slow
	qpop jobs
	run -0 qctl peek -S finished jobs
	assert_eq "$output" one
	run -0 qctl peek -a -g slow jobs
	assert_eq "$output" $'one\ntwo'
	run -0 qctl peek --group main jobs
	assert_eq "$output" two
	run -66 qctl peek -g nobody jobs
}

@test "qctl peek -J: the message with its state; bytes as base64" {
	printf 'a\377b\n' | qpush -k k jobs
	run -0 qctl peek -J jobs
	assert_match "$output" '"payload_b64":"Yf9i"'
	assert_match "$output" '"key":"k"'
	assert_match "$output" '"state":"ready"'
}

@test "qctl peek -v: the processes that hold a message" {
	local holder
	queue_of slow
	mkfifo hold
	spawn qpop jobs sh -c 'echo $$ >pid; read -r line <hold'
	wait_until 10 test -s pid
	holder=$(cat pid)
	run -0 qctl peek -v -S in-flight jobs
	assert_eq "$output" slow
	assert_match "$stderr" 'in-flight, attempt 1, 4 bytes'
	assert_match "$stderr" "held by .*$holder \(sh\)"
	run -0 qctl peek --verbose -J -S in-flight jobs
	assert_match "$output" "\"pid\":$holder,\"name\":\"sh\""
	# A waiting consumer holds nothing.
	spawn qpop -W 20 jobs
	wait_until 10 sh -c "ls -l /proc/$spawned/fd | grep -q holders"
	run -0 qctl peek -v -S in-flight jobs
	[[ $stderr != *"$spawned (qpop)"* ]]
	echo go >hold
	wait_until 10 dead "${spawn_pids[0]}"
	stop "$spawned"
	assert_eq "$(qdepth jobs)" 0
}

@test "qctl peek -v: delays and leases" {
	qpush -D 1h jobs later
	run -0 qctl peek -v jobs
	assert_match "$stderr" 'delayed, .*due in (59|1h)'
	qpush jobs now
	qpop -l 1h jobs >receipt
	run -0 qctl peek -v -S in-flight jobs
	assert_match "$stderr" 'lease ends in (59|1h)'
	run -0 qctl peek -v -J -S in-flight jobs
	assert_match "$output" '"lease_left_ms":3[0-9]{6}'
}

@test "qctl dump: what qpush -J restores" {
	qpush -k a -i i1 jobs 'with a tab	and "quotes"'
	printf '\0\377' | qpush -w -k b jobs
	qpush jobs '' taken plain
	qpop -n 1 -p 1/1 jobs >/dev/null
	qctl dump jobs >dumped
	run -0 qpush -J copy <dumped
	assert_eq "$(qdepth copy)" 4
	qctl dump copy | sed -E 's/"seq":[0-9]+,//; s/"attempt":[0-9]+,//' >again
	sed -E 's/"seq":[0-9]+,//; s/"attempt":[0-9]+,//' dumped >first
	cmp first again
	# The ids go along: it is the same messages.
	run -0 qpush -J copy <dumped
	assert_eq "$(qdepth copy)" 4
}

@test "qctl dump: of all groups, of one, of a state" {
	queue_of one two three
	qctl group add -q jobs other
	qpop -n 2 jobs >/dev/null
	qpop -g other jobs >/dev/null
	kill_all 65 no
	assert_eq "$(qctl dump jobs | grep -o '"payload":"[a-z]*"' | xargs)" \
	    'payload:two payload:three'
	run -0 qctl dump -g main jobs
	assert_eq "$output" ''
	run -0 qctl dump --group main --state dead jobs
	assert_match "$output" '"payload":"three"'
	run -0 qctl dump -S finished -g other jobs
	assert_match "$output" '"payload":"one"'
	run -66 qctl dump -g nobody jobs
}

# --- receipts -------------------------------------------------------------------------

@test "qctl ack: the receipt is good once" {
	local receipt
	queue_of one two
	receipt=$(qpop -l 1h jobs | cut -f 1)
	assert_eq "$(qdepth jobs)" 2
	run -0 qctl ack jobs "$receipt"
	assert_eq "$(qdepth jobs)" 1
	run -1 qctl ack jobs "$receipt"
	assert_match "$stderr" 'stale'
	run -1 qctl nack jobs "$receipt"
	run -1 qctl extend -l 1m jobs "$receipt"
	assert_eq "$(qctl peek -a jobs)" two
}

@test "qctl ack: several at once, the good ones count" {
	local one two
	queue_of one two
	one=$(qpop -l 1h jobs | cut -f 1)
	two=$(qpop -l 1h jobs | cut -f 1)
	qctl ack jobs "$one"
	run -1 qctl ack jobs "$one" "$two"
	assert_eq "$(qdepth jobs)" 0
	run -64 qctl ack jobs "no receipt"
	assert_match "$stderr" 'not a receipt'
}

@test "qctl ack: a receipt of another queue is refused" {
	local receipt
	queue_of one
	qpush other one
	receipt=$(qpop -l 1h other | cut -f 1)
	qpop -l 1h jobs >/dev/null
	run qctl ack jobs "$receipt"
	assert_match "$status" '^(1|64)$'
	assert_eq "$(qdepth jobs)" 1
}

@test "qctl nack: waits again; -D later; --dead never" {
	local receipt
	queue_of one
	receipt=$(qpop -l 1h jobs | cut -f 1)
	run -1 qpop jobs
	run -0 qctl nack jobs "$receipt"
	receipt=$(qpop -l 1h jobs | cut -f 1)
	run -0 qctl nack -D 1h jobs "$receipt"
	run -1 qpop jobs
	run -0 qctl peek -S delayed jobs
	assert_eq "$output" one
	qpush jobs two
	receipt=$(qpop -l 1h jobs | cut -f 1)
	run -64 qctl nack --dead --delay 1 jobs "$receipt"
	run -64 qctl nack -g main jobs "$receipt"
	run -0 qctl nack --dead jobs "$receipt"
	run -0 qctl dead ls jobs
	assert_match "$output" 'nacked'
}

@test "qctl extend: the lease ends later" {
	local receipt
	queue_of one
	receipt=$(qpop -l 1m jobs | cut -f 1)
	run -64 qctl extend jobs "$receipt"
	run -64 qctl extend -l 0 jobs "$receipt"
	run -0 qctl peek -v -J -S in-flight jobs
	assert_match "$output" '"lease_left_ms":[0-9]{5},'
	run -0 qctl extend --lease 1h jobs "$receipt"
	run -0 qctl peek -v -J -S in-flight jobs
	assert_match "$output" '"lease_left_ms":3[0-9]{6},'
	run -0 qctl ack jobs "$receipt"
	queue_of two
	receipt=$(qpop -l 20ms jobs | cut -f 1)
	run -0 qpop -W 10 jobs
	assert_eq "$output" two
	run -1 qctl extend -l 1h jobs "$receipt"
}

@test "qctl nack by number: the key stays blocked while its holder lives" {
	local seq
	qpush -k k jobs one two
	mkfifo hold
	spawn qpop jobs sh -c 'echo >started; read -r line <hold'
	wait_until 10 test -e started
	seq=$(qctl peek -J -S in-flight jobs | json seq)
	run -0 qctl nack jobs "$seq"
	assert_eq "$(qdepth jobs)" 2
	run -1 qpop jobs true
	run -0 qctl nack --force -g main jobs "$seq"
	run -0 qpop jobs cat
	assert_eq "$output" one
	echo >hold
	wait_until 10 dead "$spawned"
	# What the first one reported is refused; the second message is there.
	assert_eq "$(qctl peek -a jobs)" two
	run -1 qctl nack jobs 999999
	assert_match "$stderr" 'not in flight'
	run -64 qctl nack --force jobs receipt
	run -64 qctl nack --dead jobs "$seq"
}

# --- dead letters ------------------------------------------------------------------------

@test "qctl dead ls: number, time, tries, reason, status, key, last line" {
	qpush -k 'a	b' jobs one
	run -1 qctl dead ls jobs
	assert_eq "$output" ''
	kill_all 3 'first
it broke'
	run -0 qctl dead ls jobs
	assert_match "$output" '^[0-9]+	20[-0-9:.TZ]+	1	[a-z]+	3	a\\tb	it broke$'
	run -0 qctl dead ls -J jobs
	assert_match "$output" '"payload":"one"'
	assert_match "$output" '"tries":1,"died":"20'
	assert_match "$output" '"status":3,"stderr":"first\\nit broke\\n"'
	assert_eq "$(qdepth jobs)" 0
}

@test "qctl dead ls: rejected and killed, told apart" {
	queue_of one
	kill_all 65 no
	qpush jobs two
	run qpop -r 1 jobs sh -c 'kill -9 $$'
	run -0 qctl dead ls jobs
	assert_match "${lines[0]}" '	65	-	no$'
	assert_match "${lines[1]}" '	signal 9	-	$'
	run -0 qctl dead ls --json -n 1 jobs "$(cut -f 1 <<<"${lines[1]}")"
	assert_match "$output" '"signal":9'
}

@test "qctl dead: selection by key, id, match and number" {
	local seq
	qpush -k a jobs apple avocado
	qpush -k b -i the-id jobs banana
	printf 'x\0cherry' | qpush -w jobs
	kill_all 65 no
	assert_eq "$(qctl dead ls jobs | wc -l)" 4
	run -0 qctl dead peek -a -k a jobs
	assert_eq "$output" $'apple\navocado'
	run -0 qctl dead peek -i the-id jobs
	assert_eq "$output" banana
	run -0 qctl dead peek -a -m '^a.*o$' jobs
	assert_eq "$output" avocado
	qctl dead peek --match 'cher+y$' -w jobs | cmp - <(printf 'x\0cherry')
	run -0 qctl dead peek -a -k a -m apple jobs
	assert_eq "$output" apple
	run -1 qctl dead peek -k b -m apple jobs
	run -64 qctl dead peek -m '(' jobs
	seq=$(qctl dead ls -i the-id jobs | cut -f 1)
	run -0 qctl dead peek jobs "$seq"
	assert_eq "$output" banana
	run -1 qctl dead peek jobs 999999
	run -66 qctl dead ls -g nobody jobs
}

@test "qctl dead peek: the first, or all; -v with the tail of stderr" {
	queue_of one two
	kill_all 4 'some words'
	run -0 qctl dead peek jobs
	assert_eq "$output" one
	run -0 qctl dead peek -0 -n 2 -v jobs
	assert_match "$stderr" 'status 4, tries 1'
	assert_match "$stderr" 'some words'
	run -0 qctl dead peek -a jobs
	assert_eq "$output" $'one\ntwo'
	run -0 qctl dead peek -J jobs
	assert_match "$output" '"payload":"one"'
	qctl dead peek -L jobs | cmp - <(printf '\0\0\0\3one')
	qctl dead peek -d , jobs | cmp - <(printf 'one,')
}

@test "qctl dead: the tail of stderr, binary, is bounded" {
	queue_of one
	run qpop -r 1 jobs sh -c 'yes 12345 | head -n 2000 >&2
	    printf "end\377" >&2; exit 1'
	run -0 qctl dead ls -J jobs
	assert_match "$output" '"stderr_b64":'
	[ ${#output} -lt 6000 ]
	run -0 qctl dead peek -v jobs
	[ ${#stderr} -le 4300 ]
	assert_match "$stderr" 'end'
}

@test "qctl dead requeue: back in its place, tries anew" {
	local seq
	qpush -k k jobs one two three
	run qpop -n 1 -r 1 jobs false
	qpop -n 1 jobs cat	# two
	qpush -k k jobs four
	seq=$(qctl dead ls jobs | cut -f 1)
	run -64 qctl dead requeue jobs
	run -64 qctl dead rm jobs
	run -0 qctl dead requeue jobs "$seq"
	assert_eq "$output" 1
	run -0 qpop -a jobs sh -c 'echo "$Q_ATTEMPT $(cat)"'
	assert_eq "$output" $'1 one\n1 three\n1 four'
	run -1 qctl dead requeue -a jobs
	assert_eq "$output" 0
}

@test "qctl dead requeue and rm: by match, by key, all; -q is silent" {
	qpush -k a jobs a1 a2
	qpush -k b jobs b1
	qpush jobs c1
	kill_all 65 no
	run -0 qctl dead requeue -m '^a2' jobs
	assert_eq "$output" 1
	run -0 qctl dead requeue --quiet -k b jobs
	assert_eq "$output" ''
	assert_eq "$(qctl peek -a jobs)" $'a2\nb1'
	run -0 qctl dead rm -i "$(qctl dead ls -J -m c1 jobs | json id)" jobs
	assert_eq "$output" 1
	run -0 qctl dead rm -a -q jobs
	run -1 qctl dead ls jobs
	assert_eq "$(qdepth jobs)" 2
}

@test "qctl dead: of the group that gave up, not of others" {
	queue_of one
	qctl group add -q jobs other
	kill_all 65 no -g other
	run -1 qctl dead ls jobs
	run -0 qctl dead ls -g other jobs
	run -0 qctl dead requeue -g other -a jobs
	run -0 qpop -g other jobs
	assert_eq "$output" one
}

# --- groups ---------------------------------------------------------------------------------

@test "qctl group: add, ls, rm" {
	queue_of one two
	run -0 qctl group add jobs audit
	assert_match "$output" '^[0-9]+$'
	run -0 qctl group add jobs fresh from=new
	qpush jobs three
	qpop jobs >/dev/null
	run -0 qctl group ls jobs
	assert_eq "$output" $'main\t2\t0\naudit\t3\t0\nfresh\t1\t0'
	run -0 qctl group ls -J jobs
	assert_match "${lines[1]}" '"group":"audit","depth":3,"ready":3'
	assert_match "${lines[1]}" '"oldest":"20'
	run -73 qctl group add jobs audit
	run -64 qctl group add jobs 'bad name/'
	run -64 qctl group add jobs x from=sideways
	run -64 qctl group add jobs x oldest
	run -0 qctl group rm jobs audit
	run -66 qctl group rm jobs audit
	assert_match "$stderr" 'no such group: audit'
	run -66 qpop -g audit jobs
	run -0 qctl group rm jobs fresh
	run -1 qctl group rm jobs main
	assert_match "$stderr" 'main is the only group'
	assert_eq "$(qdepth jobs)" 2
}

@test "qctl group add: from a number or a time" {
	local seq before
	queue_of one two
	before=$(date +%s.%N)
	seq=$(qctl peek -J -a jobs | sed -n 2p | json seq)
	run -0 qctl group add jobs by-number "from=$seq"
	assert_eq "$output" "$seq"
	qpush jobs three
	run -0 qctl group add jobs by-time "from=@$before"
	run -0 qctl group add jobs hour-ago from=-1h
	run -0 qctl group add jobs by-date from=2001-01-01T00:00:00Z
	run -64 qctl group add jobs wrong from=2001-01-01
	run -64 qctl group add jobs wrong from=@1h
	run -0 qctl group add -q jobs silent
	assert_eq "$output" ''
	assert_eq "$(qctl group ls jobs | cut -f 1,2)" \
	    $'main\t3\nby-number\t2\nby-time\t1\nhour-ago\t3\nby-date\t3\nsilent\t3'
}

@test "qctl group reset: what was acknowledged comes again" {
	queue_of one two three
	qctl set jobs retain=1h
	qpop -a jobs >/dev/null
	run -1 qpop jobs
	run -0 qctl group reset jobs main from=oldest
	assert_match "$output" '^[0-9]+$'
	run -0 qpop -a jobs
	assert_eq "$output" $'one\ntwo\nthree'
	run -0 qctl group reset --quiet jobs main from=-1h
	assert_eq "$output" ''
	assert_eq "$(qdepth jobs)" 3
	run -0 qctl group reset -q jobs main from=new
	assert_eq "$(qdepth jobs)" 0
	run -64 qctl group reset jobs main
	run -66 qctl group reset jobs nobody from=new
}

# --- purge, compact, verify, repair ------------------------------------------------------

@test "qctl purge: in every group, or in one" {
	queue_of one two
	run -0 qctl purge jobs
	assert_eq "$output" 2
	assert_eq "$(qdepth jobs)" 0
	run -1 qpop jobs
	qctl group add -q jobs other from=new
	qpush jobs three
	run -0 qctl purge -g other jobs
	assert_eq "$output" 1
	assert_eq "$(qctl group ls jobs)" $'main\t1\t0\nother\t0\t0'
	qpush jobs four
	run -0 qctl purge jobs
	assert_eq "$output" $'2\tmain\n1\tother'
	qpush jobs five
	run -0 qctl purge --quiet jobs
	assert_eq "$output" ''
	run -66 qctl purge -g nobody jobs
}

@test "qctl purge: a message in flight is ended, its key stays blocked" {
	qpush -k k jobs one
	mkfifo hold
	spawn qpop jobs sh -c 'echo >started; read -r line <hold'
	wait_until 10 test -e started
	run -0 qctl purge jobs
	assert_eq "$(qdepth jobs)" 0
	qpush -k k jobs two
	run -1 qpop jobs true
	echo >hold
	wait_until 10 dead "$spawned"
	run -0 qpop jobs cat
	assert_eq "$output" two
}

@test "qctl compact: space comes back, messages stay" {
	local before
	seq 100000 109999 | sed 's/.*/&&&&&&&&&&&&&&&&/' | qpush jobs
	qpush jobs last
	before=$(info disk-bytes)
	qpop -n 10000 jobs >/dev/null
	run -0 qctl compact jobs
	assert_match "$output" '^[0-9]+$'
	[ "$(info disk-bytes)" -lt "$((before / 2))" ]
	run -0 qctl compact --quiet jobs
	assert_eq "$output" ''
	run -0 qctl verify jobs
	run -0 qpop -a jobs
	assert_eq "$output" last
}

@test "qctl verify: silent when whole, 1 and a line when a byte is wrong" {
	local file at
	seq 1000 2000 | qpush jobs
	run -0 qctl verify jobs
	assert_eq "$output" ''
	file=$(grep -rl --binary-files=text 1500 jobs/log | head -n 1)
	at=$(grep -abo 1500 "$file" | head -n 1 | cut -d : -f 1)
	printf X | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
	run -1 qctl verify jobs
	assert_match "$output" '[a-z]'
	run -1 qctl verify --quiet jobs
	assert_eq "$output" ''
	qpop -a jobs >got
	cmp got <(seq 1000 2000 | grep -vx 1500)
}

@test "qctl repair: what is derived is made anew" {
	qpush -k a jobs one two
	kill_all 65 no -n 1
	qpush jobs three
	rm -rf jobs/index
	run -0 qctl repair jobs
	run -0 qctl verify jobs
	assert_eq "$(qctl dead ls jobs | wc -l)" 1
	run -0 qpop -a jobs
	assert_eq "$output" $'two\nthree'
}

# --- permission -------------------------------------------------------------------------

@test "qctl: no permission answers 77" {
	[ "$(id -u)" -eq 0 ] || skip 'needs root to be somebody else'
	command -v setpriv >/dev/null || skip 'no setpriv'
	queue_of one
	chmod 755 "$BATS_TEST_TMPDIR"
	run -77 setpriv --reuid 65534 --regid 65534 --clear-groups \
	    "$(command -v qctl)" set "$PWD/jobs" tries=1
}

@test "qctl: an output that cannot be written answers 74" {
	queue_of one
	run -74 sh -c 'qctl peek jobs >/dev/full'
	run -74 sh -c 'qctl info jobs >/dev/full'
	run -74 sh -c 'qctl dump jobs >/dev/full'
	run -74 sh -c 'qctl peek jobs >&-'
	run -0 sh -c 'qctl set jobs tries=2 <&- >&- 2>&-'
	run -0 qctl verify jobs
}

# --- the page's examples ------------------------------------------------------------------

@test "qctl(1): every example runs" {
	local page seen=0 file
	page=$BATS_TEST_DIRNAME/../man/qctl.1
	awk '/^\.Sh EXAMPLES/ { on = 1 }
	    /^\.Sh DIAGNOSTICS/ { on = 0 }
	    on && /^\.Bd/ { n++; block = 1; next }
	    /^\.Ed/ { block = 0 }
	    on && block {
		gsub(/\\e/, "\\"); gsub(/\\&/, ""); print >("example." n)
	    }' "$page"
	for file in $(printf '%s\n' example.* | sort -V); do
		seen=$((seen + 1))
		cat "$file"
		run -0 sh "$file"
		[ "$seen" -ne 4 ] || assert_match "$output" '	1	-	no disk'
	done
	assert_eq "$seen" 7
	[ ! -e jobs ]
	[ -e elsewhere ]
}

# --- completion ---------------------------------------------------------------------------

# What bash offers for the last word.
offers() {
	bash --norc -c '
		source "$1"
		shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		"_$1" "$1" "${@: -1}" "${@: -2:1}" 2>/dev/null
		printf "%s\n" "${COMPREPLY[@]}"' bash \
	    "$BATS_TEST_DIRNAME/../completions/$1" "$@" | sort | xargs
}

@test "completions: every option of every page, for each program" {
	local prog verb option all page
	for prog in qpush qpop qdepth qctl; do
		page=$BATS_TEST_DIRNAME/../man/$prog.1
		all=$(offers "$prog" --)
		if [ "$prog" = qctl ]; then
			for verb in create info peek nack extend wait purge \
			    dump; do
				all+=" $(offers qctl "$verb" --)"
			done
			all+=" $(offers qctl dead ls --)"
			all+=" $(offers qctl dead rm --)"
		fi
		while read -r option; do
			assert_match " $all " " --$option " "$prog"
		done < <(grep '^\.It' "$page" | grep -o 'Fl -[a-z][a-z-]*' |
		    sed 's/Fl -//')
	done
}

@test "completions: verbs, queues, groups, attributes" {
	qctl create jobs groups=audit,main
	mkdir other
	assert_eq "$(offers qctl pu)" purge
	assert_eq "$(offers qctl dead r)" 'requeue rm'
	assert_eq "$(offers qctl peek '')" 'jobs/ other/'
	assert_eq "$(offers qpush j)" jobs/
	assert_eq "$(offers qctl group rm jobs/ a)" audit
	assert_eq "$(offers qctl peek jobs/ -g '')" 'audit main'
	assert_eq "$(offers qctl create q mod)" mode=
	assert_eq "$(offers qctl set q max-m)" 'max-message= max-messages='
	assert_eq "$(offers qctl peek -S del)" delayed
	assert_eq "$(offers qdepth -o '')" prom
	assert_eq "$(offers qctl peek -k '')" ''
	assert_match " $(offers qpop jobs/ ls) " ' ls '
}
