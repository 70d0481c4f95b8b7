#!/usr/bin/env bash
# lint.sh [GATE ...]: what must hold of the sources before they are tested.
# Every gate is a function gate_NAME that prints what is wrong and fails; all
# of them run, and one summary ends the output.  `make lint` installs the tools;
# those of Debian 12 are meant, newer ones have opinions of their own.

set -uo pipefail
cd "$(dirname "$0")/.." || exit
export LC_ALL=C

cpus=$(nproc)
out=build/lint
mkdir -p "$out"
shopt -s nullglob
sources=(lib/*.c cmd/*.c tests/unit/*.c)
headers=(lib/*.h cmd/*.h tests/unit/*.h)
pages=(man/*.[1-8])
bats=(tests/*.bats)
scripts=(tests/*.sh tests/*.bash tests/{bench,torture,fuzz}/*.{sh,bash} .ci/run)

flags=(-std=c11 -D_GNU_SOURCE '-DVERSION="0"' -Ilib -Itests/unit)
read -ra bsd < <(pkg-config --cflags libbsd-overlay)
flags+=("${bsd[@]}")

# --- compilers -----------------------------------------------------------

# Everything once more, with warnings as errors: build CC CFLAGS
build() {
	local unit goals=(all)
	for unit in tests/unit/*_test.c; do
		goals+=("build/lint-$1/unit/$(basename "$unit" .c)")
	done
	make -s -j"$cpus" V="lint-$1" CC="$1" WERROR=1 CFLAGS="$2" "${goals[@]}"
}

gate_gcc() {
	build gcc '-O2 -g -Wlogical-op -Wduplicated-cond -Wduplicated-branches'
}

gate_clang() { build clang '-O2 -g'; }

# gcc 12 calls it a leak when a pointer leaves through an argument; the leak
# checker of `make asan` is the better judge.
gate_analyzer() {
	printf '%s\n' lib/*.c cmd/*.c |
	    xargs -P "$cpus" -I {} gcc "${flags[@]}" -O2 -fanalyzer -Werror \
		-Wno-analyzer-malloc-leak -c -o /dev/null {}
}

gate_clang_tidy() {
	printf '%s\n' "${sources[@]}" | xargs -P "$cpus" -I {} \
	    clang-tidy --quiet {} -- "${flags[@]}" 2>"$out/tidy" && return
	grep -v 'warnings.* generated' "$out/tidy"
	return 1
}

# Not asked for: narrower scopes (declarations stand at the top of a block)
# and members that only a union or the disk sees.
gate_cppcheck() {
	cppcheck -j "$cpus" --quiet --std=c11 --error-exitcode=1 \
	    --enable=warning,portability,performance,style --inline-suppr \
	    --suppress=missingIncludeSystem --suppress=variableScope \
	    --suppress=unusedStructMember --suppress=unmatchedSuppression \
	    -Ilib -Itests/unit -D_GNU_SOURCE '-DVERSION="0"' \
	    "${sources[@]}" 2>&1
}

# --- who includes whom -----------------------------------------------------

gate_headers_alone() {
	local header rc=0
	for header in "${headers[@]}"; do
		printf '#include "%s"\n' "${header##*/}" |
		    gcc "${flags[@]}" -Icmd -Wall -Wextra -Werror -fsyntax-only \
			-x c - || rc=1
	done
	return "$rc"
}

# Lines "FILE HEADER" for the headers of ours that our sources include.
includes() {
	grep -HoE '^#include "[^"]+"' lib/*.[ch] cmd/*.[ch] /dev/null |
	    sed -E 's/:#include "(.*)"/ \1/'
}

# The noun of a file: what stands before the first underscore.
gate_modules_acyclic() {
	includes | grep '^lib/' |
	    sed -E 's|^lib/([a-z0-9-]+)[^ ]* ([a-z0-9-]+).*|\1 \2|' |
	    awk '$1 != $2' | sort -u | tsort >/dev/null
}

gate_floors() {
	includes | awk '
	    BEGIN {
		split("exits clock num buf log", a)
		for (i in a) floor[a[i]] = 1
		split("fsdur lock sock frame crc", a)
		for (i in a) floor[a[i]] = 2
	    }
	    function noun(path) {
		sub(/.*\//, "", path); sub(/[_.].*/, "", path); return path
	    }
	    $1 ~ /^lib/ {
		own = noun($1); seen = noun($2)
		if (own in floor && own != seen &&
		    (!(seen in floor) || floor[seen] > floor[own])) {
			print $1 " includes " $2 ", which is above it"
			bad = 1
		}
	    }
	    # A private header is for its own noun.
	    $2 ~ /_priv\.h$/ && noun($1) != noun($2) {
		print $1 " includes " $2; bad = 1
	    }
	    END { exit bad }'
}

# lib never includes cmd, a program nothing of another program.
gate_programs_apart() {
	local file header rc=0
	while read -r file header; do
		[ -e "cmd/$header" ] || continue
		case $file in
		cmd/*)
			file=${file#cmd/} file=${file%.*}
			[ "${file%%_*}" = "$(basename "${header%%_*}" .h)" ] &&
			    continue
			;;
		esac
		echo "$file includes cmd/$header"
		rc=1
	done < <(includes)
	return "$rc"
}

gate_raft_in_raftnode() {
	! grep -nE '^#include <(raft|raft/.*)\.h>' lib/*.[ch] cmd/*.[ch] \
	    /dev/null | grep -v '^cmd/raftnode' &&
	! grep -nE '^#include <uv\.h>' lib/*.[ch] /dev/null
}

# --- manual pages ------------------------------------------------------------

gate_mandoc() {
	[ ${#pages[@]} -eq 0 ] || mandoc -T lint -W warning "${pages[@]}"
}

gate_sections() {
	perl -e '
	    my @want = ("NAME", "SYNOPSIS", "DESCRIPTION", "ENVIRONMENT",
		"FILES", "EXIT STATUS", "EXAMPLES", "DIAGNOSTICS", "SEE ALSO",
		"CAVEATS");
	    my $bad = 0;
	    for my $page (@ARGV) {
		open(my $f, "<", $page) or die "$page: $!\n";
		my %has = map { /^\.Sh (.*?)\s*$/ ? ($1 => 1) : () } <$f>;
		for my $section (@want) {
			next if $has{$section};
			print "$page: no section $section\n";
			$bad = 1;
		}
	    }
	    exit $bad' man/*.[18]
}

# Every program has a page and tests.
gate_complete() {
	local file prog rc=0 found
	for file in cmd/*.c; do
		prog=$(basename "$file" .c)
		[[ $prog != *_* ]] || continue
		found=(man/"$prog".[18])
		if [ ${#found[@]} -eq 0 ]; then
			echo "$prog has no page"
			rc=1
		fi
		if [ ! -e "tests/$prog.bats" ]; then
			echo "$prog has no tests"
			rc=1
		fi
	done
	return "$rc"
}

# The options of getopt_long(3) in the source are those of the page's lists:
# ".It Fl x , Fl -long".  -h and -V are told once, in dsutils(7).
gate_options() {
	perl tests/options.pl cmd/*.c
}

# --- scripts and the rest ----------------------------------------------------

gate_shellcheck() {
	local files=()
	# bats sets $status, $output, $stderr.
	shellcheck -S warning -e SC2154 "${bats[@]}" || return
	mapfile -t files < <(ls "${scripts[@]}" 2>/dev/null)
	shellcheck -S warning "${files[@]}"
}

# A test waits for something, with a limit; see wait_until in helpers.bash.
gate_no_bare_sleep() {
	! grep -nE '(^|;|&&|\|\||[[:space:]](do|then|else))[[:space:]]*sleep[[:space:]]+[0-9.]' \
	    "${bats[@]}" tests/*.bash
}

# The targets of the Makefile are those README.md tells of.
gate_targets() {
	local target rc=0
	for target in $(make -s -pn help-nothing 2>/dev/null |
	    sed -n 's/^\.PHONY://p'); do
		[ "$target" != all ] || continue
		grep -q "make $target" README.md && continue
		echo "README.md does not tell of make $target"
		rc=1
	done
	return "$rc"
}

# -------------------------------------------------------------------------------

gates=("$@")
if [ ${#gates[@]} -eq 0 ]; then
	mapfile -t gates < <(sed -n 's/^gate_\([a-z_]*\)() .*/\1/p' "$0")
fi
failed=()
for gate in "${gates[@]}"; do
	begin=$SECONDS
	if "gate_$gate" >"$out/$gate.log" 2>&1; then
		printf 'ok      %-18s %3d s\n' "$gate" $((SECONDS - begin))
	else
		printf 'FAILED  %-18s %3d s\n' "$gate" $((SECONDS - begin))
		grep -v "^ *\(CC\|LD\|AR\) build/" "$out/$gate.log" | sed "s/^/    /" | head -n 100
		failed+=("$gate")
	fi
done
printf 'lint: %d passed, %d failed\n' $((${#gates[@]} - ${#failed[@]})) \
    ${#failed[@]}
[ ${#failed[@]} -eq 0 ]
