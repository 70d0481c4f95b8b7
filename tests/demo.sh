#!/usr/bin/env bash
# demo.sh: the main job on real input, the list of the machine's packages:
# producers, a bounded queue, workers, one of them killed in the middle of a
# message.  Well under a minute; `make demo` runs it.

set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$(cd "${DSUTILS_BIN:-$root/build/bin}" && pwd):$PATH
mkdir -p "$root/build"
work=$(mktemp -d "$root/build/demo.XXXXXX")
pids=()
finish() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	rm -rf "$work"
}
trap finish EXIT
cd "$work"
export LC_ALL=C

say() { printf '\n# %s\n' "$*"; }

# Show a command, then run it.
show() {
	local words="$1" word
	for word in "${@:2}"; do
		case $word in
		*[!A-Za-z0-9_/.,=:+-]*) words+=" '$word'" ;;
		*) words+=" $word" ;;
		esac
	done
	printf '$ %s\n' "$words"
	"$@"
}

until_true() {
	local limit=$((SECONDS + 30))
	until "$@"; do
		if [ "$SECONDS" -ge "$limit" ]; then
			echo "demo: waited in vain for: $*" >&2
			exit 1
		fi
		sleep 0.02
	done
}

depth_is() { [ "$(qdepth jobs)" -eq "$1" ]; }

# One job: how many files the package brought.
cat >count-files <<'END'
#!/bin/sh
read -r package
set -- /var/lib/dpkg/info/"$package".list /var/lib/dpkg/info/"$package":*.list
[ -e "$1" ] || shift
printf '%s\t%s\t%s\n' "$package" "$(wc -l <"$1")" "$Q_ATTEMPT"
END
cat >stuck <<'END'
#!/bin/sh
read -r package
echo "$package" >taken
exec sleep 1000
END
chmod +x count-files stuck

dpkg-query -W -f '${db:Status-Status} ${Package} ${Section}\n' |
    awk '$1 == "installed" { print $3 "\t" $2 }' | sort -u >packages
total=$(wc -l <packages)
split -n l/2 packages half.

say "$total packages are installed here.  A queue that holds 100 at most:"
show qctl create jobs max-messages=100

say 'Two producers push them all, keyed by section; each waits when it is full.'
for half in half.aa half.ab; do
	printf '$ qpush -K "\\t" jobs <%s &\n' "$half"
	qpush -K '\t' jobs <"$half" &
	pids+=($!)
done
until_true depth_is $((total < 100 ? total : 100))
show qdepth -a jobs

say 'A worker takes one, and is killed with kill -9 in the middle of it.'
printf '$ qpop jobs ./stuck &\n'
qpop jobs ./stuck 2>/dev/null &
worker=$!
disown "$worker"
until_true test -s taken
lost=$(cat taken)
echo "# it has $lost in hand; depth: $(qdepth jobs)"
printf '$ kill -9 %s\n' "$worker"
kill -9 "$worker"
echo "# depth: $(qdepth jobs); nothing is lost, and nobody waits for a timeout"

say 'Two workers do the rest; the producers go on as room appears.'
printf '$ qpop -f -P2 jobs ./count-files >counted &\n'
begin=$EPOCHREALTIME
qpop -f -P2 jobs ./count-files >counted &
worker=$!
wait "${pids[@]}"
pids=("$worker")
show qctl close jobs
show qctl wait jobs
wait "$worker"			# closed and drained: it ends by itself
pids=()
awk -v b="$begin" -v e="$EPOCHREALTIME" -v n="$total" 'BEGIN {
	printf "# %d jobs, a process each, in %.1f s\n", n, e - b }'
show qdepth jobs

cut -f 2 packages | sort >want
cut -f 1 counted | sort | cmp - want
echo "# each of the $total packages was done once; $lost at its try" \
    "$(awk -F '\t' -v p="$lost" '$1 == p { print $3 }' counted)"
echo '# the three with the most files:'
sort -t "$(printf '\t')" -k 2nr counted | head -n 3 | cut -f 1,2

say 'The same queue as a pipe: every file name that dpkg knows, byte for byte.'
cat /var/lib/dpkg/info/*.list >files
names=$(wc -l <files)
begin=$EPOCHREALTIME
printf "\$ qpush names <files\n"
qpush names <files
middle=$EPOCHREALTIME
echo "# depth: $(qdepth names)"
printf '$ qpop -a names | cmp - files\n'
qpop -a names | cmp - files
awk -v b="$begin" -v m="$middle" -v e="$EPOCHREALTIME" -v n="$names" 'BEGIN {
	printf "# %d names: on disk in %.2f s, out again in %.2f s\n",
	    n, m - b, e - m }'
echo "# depth: $(qdepth names)"
