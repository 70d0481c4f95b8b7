#!/usr/bin/env bash
# deps.sh GROUP ...: install what is missing of the groups' Debian packages.
# deps.sh --lists: only see that apt has package lists.
# Silent when nothing is missing.  Called by make; see "deps" in the Makefile.
#
# A tool counts as there when it can be found, whoever installed it; a library
# when its -dev package is installed.  libraft comes from bookworm-backports on
# Debian 12, through a source file of our own that copies the machine's mirror;
# it is the one thing whose lack is not fatal: only raftnode needs it.

set -euo pipefail

source_file=/etc/apt/sources.list.d/dsutils-backports.sources
raft_min=0.22

# group, command or -, package
packages() {
	cat <<-'END'
	build	gcc		gcc
	build	make		make
	build	pkg-config	pkg-config
	build	-		libc6-dev
	build	-		libbsd-dev
	build	-		libmd-dev
	build	-		liblmdb-dev
	build	-		libisal-dev
	build	-		libxxhash-dev
	build	-		libjson-c-dev
	raft	-		libuv1-dev
	raft	-		libhiredis-dev
	test	bats		bats
	test	prove		perl
	test	pkill		procps
	test	strace		strace
	test	jq		jq
	test	gnuplot		gnuplot-nox
	lint	clang		clang
	lint	clang-tidy	clang-tidy
	lint	cppcheck	cppcheck
	lint	mandoc		mandoc
	lint	shellcheck	shellcheck
	bench	go		golang-go
	bench	-		golang-etcd-server-dev
	bench	curl		curl
	fuzz	clang		clang
	fuzz	-		libclang-rt-dev
	END
}

say() { printf 'deps: %s\n' "$*" >&2; }

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		say "neither root nor sudo here; run this as root: $*"
		return 1
	fi
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# What is missing of the groups, one package a line.
missing() {
	local group command package
	packages | while read -r group command package; do
		[[ " $* " == *" $group "* ]] || continue
		if [ "$command" = - ]; then
			installed "$package" || printf '%s\n' "$package"
		else
			command -v "$command" >/dev/null || printf '%s\n' "$package"
		fi
	done | sort -u
}

lists_are_fresh() {
	[ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' \
	    -mtime -1 -print -quit 2>/dev/null)" ]
}

# apt-get's own words are for a person; elsewhere only if it failed.
apt() {
	local log rc=0
	if [ -t 2 ]; then
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >&2
		return
	fi
	log=$(mktemp)
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
	    -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1 || rc=$?
	[ "$rc" -eq 0 ] || cat "$log" >&2
	rm -f "$log"
	return "$rc"
}

install() {
	lists_are_fresh || apt update
	apt install --no-install-recommends "$@" && return
	say "once more, with new package lists"
	apt update
	apt install --no-install-recommends "$@"
}

# The suite and URI of the machine's own Debian source: .sources, then .list.
mirror() {
	local suite=$1
	{
		awk -v suite="$suite" '
		    function flush() {
			if (uri != "" && index(" " suites " ", " " suite " "))
				print uri
			uri = suites = ""
		    }
		    FNR == 1 || /^[ \t]*$/ { flush() }
		    tolower($1) == "uris:" { uri = $2 }
		    tolower($1) == "suites:" {
			$1 = ""; sub(/^ +/, ""); suites = $0
		    }
		    END { flush() }' \
		    /etc/apt/sources.list.d/*.sources /dev/null
		sed -nE "s|^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]]+$suite/?[[:space:]].*|\2|p" \
		    /etc/apt/sources.list /etc/apt/sources.list.d/*.list
	} 2>/dev/null | sed -n 1p
}

raft_candidate() {
	apt-cache madison libraft-dev 2>/dev/null |
	    awk -F '|' '{ gsub(" ", "", $2); print $2 }' | while read -r version; do
		dpkg --compare-versions "$version" ge "$raft_min" &&
		    printf '%s\n' "$version"
	done | sed -n 1p
}

add_backports() {
	local uri
	uri=$(mirror bookworm)
	if [ -z "$uri" ]; then
		say "no Debian source found to copy the mirror from"
		return 1
	fi
	say "adding $source_file ($uri bookworm-backports) for libraft"
	printf '%s\n' 'Types: deb' "URIs: $uri" 'Suites: bookworm-backports' \
	    'Components: main' \
	    'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' |
	    as_root tee "$source_file" >/dev/null
	apt update
}

raft() {
	local codename version
	pkg-config --atleast-version="$raft_min" raft 2>/dev/null && return
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME-}")
	lists_are_fresh || apt update
	version=$(raft_candidate)
	if [ -z "$version" ] && [ "$codename" = bookworm ] &&
	    [ ! -e "$source_file" ]; then
		add_backports || return
		version=$(raft_candidate)
	fi
	if [ -z "$version" ]; then
		say "no libraft >= $raft_min to be had"
		return 1
	fi
	say "installing libraft-dev $version"
	if [ "$codename" = bookworm ]; then
		apt install --no-install-recommends \
		    libraft-dev/bookworm-backports
	else
		apt install --no-install-recommends libraft-dev
	fi
}

if [ $# -eq 0 ]; then
	echo 'usage: deps.sh group ...' >&2
	exit 64
fi
if ! command -v apt-get >/dev/null; then
	say "no apt-get here; this needs: $(packages |
	    awk '{ print $3 }' | sort -u | xargs)"
	exit 0
fi
if [ "$1" = --lists ]; then
	lists_are_fresh || apt update
	exit
fi
mapfile -t wanted < <(missing "$@")
if [ ${#wanted[@]} -gt 0 ]; then
	say "installing ${wanted[*]}"
	install "${wanted[@]}"
fi
if [[ " $* " == *" raft "* ]]; then
	raft || say "going on without: raftnode will not be built"
fi
