#!/usr/bin/env bash
# peers.sh PACKAGE ...: fetch Debian packages with the libraries that the
# machine lacks and unpack them under build/peers.  Nothing is installed and
# nothing is started.  Prints the directory with their programs:
#
#	PATH=$(tests/peers.sh redis-server redis-tools):$PATH
#
# Each program there is a small script that sets LD_LIBRARY_PATH and becomes
# the real one, so its pid is the program's own.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
peers=$(cd "$here/.." && pwd)/build/peers
root=$peers/root
mkdir -p "$peers/deb" "$peers/bin" "$peers/done" "$root"

if [ $# -eq 0 ]; then
	echo 'usage: peers.sh package ...' >&2
	exit 64
fi

# The package, and the libraries apt would have to install for it.
with_libraries() {
	printf '%s\n' "$1"
	apt-get -s -q --no-install-recommends install "$1" 2>/dev/null |
	    awk '$1 == "Inst" && $2 ~ /^lib/ { print $2 }'
}

fetch() {
	local package=$1 deb
	[ ! -e "$peers/done/$package" ] || return 0
	echo "peers: fetching $package" >&2
	# In a directory of its own: the file's name is not known beforehand.
	rm -rf "$peers/deb/$package"
	mkdir -p "$peers/deb/$package"
	(cd "$peers/deb/$package" &&
	    apt-get -q -o APT::Sandbox::User="$(id -un)" download "$package") >&2
	for deb in "$peers/deb/$package"/*.deb; do
		dpkg-deb -x "$deb" "$root"
	done
	rm -rf "$peers/deb/$package"
	touch "$peers/done/$package"
}

wrap() {
	local program name libs
	libs=$(find "$root/usr/lib" "$root/lib" -name '*.so.*' -printf '%h\n' \
	    2>/dev/null | sort -u | paste -sd :) || :
	for program in "$root"/usr/bin/* "$root"/usr/sbin/*; do
		[ -x "$program" ] || continue
		name=${program##*/}
		# Written beside and moved: another run may be reading it.
		{
			echo '#!/bin/sh'
			printf 'export LD_LIBRARY_PATH="%s"\n' "$libs"
			printf 'exec "%s" "$@"\n' "$program"
		} >"$peers/bin/.$name.$$"
		chmod +x "$peers/bin/.$name.$$"
		mv "$peers/bin/.$name.$$" "$peers/bin/$name"
	done
}

exec 9>"$peers/lock"
flock 9
changed=no
for name; do
	[ ! -e "$peers/done/.$name" ] || continue
	"$here/deps.sh" --lists
	for package in $(with_libraries "$name"); do
		fetch "$package"
	done
	touch "$peers/done/.$name"
	changed=yes
done
[ "$changed" = no ] || wrap
printf '%s\n' "$peers/bin"
