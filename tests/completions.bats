#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2016	# bats sets status, output, stderr
# completions: those of raftctl, raftnode, partsim, lincheck and cap-demo; and
# the units of examples/.

bats_require_minimum_version 1.8.0
load helpers
load raft

setup() { setup_test; }

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

@test "completions: every option of every page" {
	local prog page verb option all
	for prog in raftctl raftnode partsim lincheck cap-demo; do
		page=$(echo "$BATS_TEST_DIRNAME/../man/$prog".[18])
		all=$(offers "$prog" --)
		if [ "$prog" = raftctl ]; then
			for verb in $(offers raftctl ''); do
				all+=" $(offers raftctl "$verb" --)"
			done
		fi
		while read -r option; do
			assert_match " $all " " --$option " "$prog"
		done < <(grep '^\.It' "$page" | grep -o 'Fl -[a-z][a-z-]*' |
		    sed 's/Fl -//' | sort -u)
	done
}

@test "completions: an option is offered where raftctl takes it" {
	local verb option
	mkdir raft raft/n1
	for verb in $(offers raftctl ''); do
		for option in $(offers raftctl "$verb" --); do
			run timeout 5 raftctl -C raft -W 0.01 "$option" "$verb" \
			    </dev/null
			! [[ $stderr =~ takes\ no|unrecognized ]] ||
			    { echo "$verb $option: $stderr"; return 1; }
		done
	done
}

@test "completions: verbs, nodes, keys, commands" {
	assert_eq "$(offers raftctl re)" recover
	assert_eq "$(offers raftctl -C x pr)" propose
	assert_eq "$(offers raftctl member p)" promote
	assert_eq "$(offers raftctl get -c l)" 'leader linear'
	assert_eq "$(offers partsim partition b)" bridge
	assert_eq "$(offers cap-demo p)" 'pacelc probe'
	assert_match " $(offers raftctl lock l tru) " ' true '
	mkdir -p raft/n1 raft/n12 raft/x
	assert_eq "$(offers raftctl -C raft transfer n)" 'n1 n12'
	assert_eq "$(offers raftnode -C raft -i '')" 'n1 n12'
	assert_eq "$(offers raftnode -C ra)" raft/
	rm -r raft
	command -v raftnode || return 0
	cluster 1
	raftctl put conf/a 1
	raftctl put other 2
	assert_eq "$(offers raftctl get con)" conf/a
}

@test "examples: the units use options that there are" {
	local unit prog page words word n=0
	for unit in "$BATS_TEST_DIRNAME"/../examples/*.service; do
		words=$(sed -n 's|^ExecStart=/usr/local/bin/||p' "$unit")
		prog=${words%% *}
		page=$(echo "$BATS_TEST_DIRNAME/../man/$prog".[18])
		for word in ${words#* }; do
			[[ $word = -? ]] || continue
			grep -qE "^\.It Fl ${word#-}( |$)" "$page" ||
			    { echo "$unit: $word"; return 1; }
			n=$((n + 1))
		done
		! command -v systemd-analyze >/dev/null ||
		    ! systemd-analyze verify --man=no "$unit" 2>&1 |
		    grep -v 'not executable' | grep "${unit##*/}:"
	done
	[ "$n" -ge 7 ]
}
