#!/usr/bin/env bats
# What holds for all programs together, and for the way they are built.

bats_require_minimum_version 1.8.0
load helpers

setup() {
	setup_test
	REPO=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	PROGS=()
	local file
	for file in "$REPO"/cmd/*.c; do
		file=$(basename "$file" .c)
		if [[ $file != *_* ]] && [ -x "$DSUTILS_BIN/$file" ]; then
			PROGS+=("$file")
		fi
	done
}

# make with none of the settings this run of the tests was given.
plain_make() {
	env -u MAKEFLAGS -u MAKELEVEL -u V -u CFLAGS -u DESTDIR -u PREFIX \
	    -u TESTS make -C "$REPO" --no-print-directory "$@"
}

@test "toolkit: there are programs" {
	[ ${#PROGS[@]} -gt 0 ] || skip "none is built yet"
}

@test "toolkit: -h prints the usage to stdout and answers 0" {
	for prog in "${PROGS[@]}"; do
		run -0 "$prog" -h
		assert_match "$output" "^usage: $prog " "$prog -h"
		assert_eq "$stderr" '' "$prog -h, stderr"
		run -0 "$prog" --help
		assert_match "$output" "^usage: $prog "
	done
}

@test "toolkit: -V prints name and version" {
	for prog in "${PROGS[@]}"; do
		run -0 "$prog" -V
		assert_match "$output" "^$prog [0-9]+\.[0-9]+\.[0-9]+$"
		run -0 "$prog" --version
		assert_match "$output" "^$prog [0-9]"
	done
}

@test "toolkit: an unknown option answers 64, with nothing on stdout" {
	for prog in "${PROGS[@]}"; do
		run -64 "$prog" --no-such-option
		assert_eq "$output" '' "$prog, stdout"
		[ -n "$stderr" ]
		run -64 "$prog" '-?'
		assert_eq "$output" '' "$prog, stdout"
	done
}

@test "toolkit: install and uninstall are each other's reverse" {
	[ ${#PROGS[@]} -gt 0 ] || skip "none is built yet"
	run -0 plain_make install V="$(basename "$DSUTILS_BIN")" \
	    DESTDIR="$PWD/root dir" PREFIX=/opt/ds
	for prog in "${PROGS[@]}"; do
		[ -x "root dir/opt/ds/bin/$prog" ]
	done
	[ -e "root dir/opt/ds/share/man/man7/dsutils.7" ]
	run -0 plain_make uninstall V="$(basename "$DSUTILS_BIN")" \
	    DESTDIR="$PWD/root dir" PREFIX=/opt/ds
	run -0 find "root dir" -type f
	assert_eq "$output" '' 'left over'
}

@test "toolkit: make says what to do when libbsd is not there" {
	run -2 plain_make PKG_CONFIG=false
	assert_match "$stderr" 'make deps'
}

@test "toolkit: what is installed is installed in silence" {
	command -v apt-get >/dev/null || skip "no apt-get"
	run -0 "$REPO/tests/deps.sh" build test
	assert_eq "$output$stderr" ''
}

@test "toolkit: an unwritten test cannot pass: prove counts what ran" {
	mkdir t
	printf '#!/bin/sh\necho ok 1\necho 1..2\n' >t/short
	printf '#!/bin/sh\nexit 0\n' >t/empty
	chmod +x t/short t/empty
	run ! prove --exec "$REPO/tests/tap.sh" t/short
	assert_match "$output" 'Bad plan'
	run ! prove --exec "$REPO/tests/tap.sh" t/empty
	assert_match "$output" 'FAIL'
}

@test "toolkit: a failing test turns the run red" {
	local good='@test "good" { true; }' bad='@test "bad" { false; }'
	mkdir t
	printf '%s\n' "$good" >t/good.bats
	printf '%s\n' "$good" "$bad" >t/bad.bats
	printf '#!/bin/sh\necho "not ok 1 - x"\necho 1..1\nexit 1\n' >t/unit
	printf '#!/bin/sh\necho "ok 1 - x"\necho 1..1\nkill -SEGV $$\n' >t/crash
	chmod +x t/unit t/crash

	run -0 plain_prove t/good.bats
	assert_match "$output" 'Tests=1'
	run ! plain_prove t/good.bats t/bad.bats
	assert_match "$output" 'Result: FAIL'
	run ! plain_prove t/good.bats t/unit
	run ! plain_prove t/good.bats t/crash
}

plain_prove() {
	env -u BATS_TEST_TIMEOUT PATH="$BATS_ROOT/bin:$PATH" \
	    prove --failures --exec "$REPO/tests/tap.sh" "$@"
}

@test "toolkit: a gate that finds something turns lint red" {
	mkdir -p copy/tests copy/lib copy/cmd copy/man copy/build/lint
	cp "$REPO"/tests/lint.sh copy/tests/
	printf '@test "x" {\n\tsleep 1\n}\n' >copy/tests/x.bats
	printf '#include "b.h"\n' >copy/lib/a.h
	printf '#include "a.h"\n' >copy/lib/b.h
	printf '#include "raft.h"\n#include <raft.h>\n' >copy/lib/c.c
	printf '#include "c.h"\n' >copy/lib/num.h
	printf 'int x;\n' >copy/cmd/prog.c
	for gate in no_bare_sleep modules_acyclic floors raft_in_raftnode \
	    complete; do
		run -1 copy/tests/lint.sh "$gate"
		assert_match "$output" "FAILED +$gate"
		assert_match "$output" 'lint: 0 passed, 1 failed'
	done
}

@test "toolkit: lint compares the options of the source and of the page" {
	mkdir -p copy/tests copy/cmd copy/man
	cp "$REPO"/tests/{lint.sh,options.pl} copy/tests/
	cat >copy/cmd/prog.c <<-'END'
	static const struct option longs[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' },
	};
	while ((ch = getopt_long(argc, argv, "+ab:h", longs, NULL)) != -1)
	END
	cat >copy/man/prog.1 <<-'END'
	.It Fl a , Fl -all
	.It Fl b Ar bytes
	END
	run -0 copy/tests/lint.sh options
	printf '.It Fl c\n' >>copy/man/prog.1
	sed -i 's/^.It Fl b.*//' copy/man/prog.1
	sed -i 's/"all"/"any"/' copy/cmd/prog.c
	run -1 copy/tests/lint.sh options
	assert_match "$output" 'does not tell of -b'
	assert_match "$output" 'does not tell of --any'
	assert_match "$output" 'tells of -c'
	assert_match "$output" 'tells of --all'
}

@test "toolkit: README's session is what happens" {
	local want got
	sed -n '/<!-- session: begin/,/<!-- session: end/{s/^    //p}' \
	    "$REPO/README.md" >session
	[ "$(grep -c '^\$ ' session)" -ge 5 ]
	got=$(sed -n 's/^\$ //p' session | while IFS= read -r line; do
		printf '$ %s\n' "$line"
		bash -c "$line"
	done)
	want=$(cat session)
	assert_eq "$got" "$want" session
}
