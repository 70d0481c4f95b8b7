#!/usr/bin/env bash
# cap-demo.sh: what a run takes, and whether pacelc finds the delays; SEED.

set -euo pipefail

PATH=${DSUTILS_BIN:+$DSUTILS_BIN:}$PATH
seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

/usr/bin/env time true 2>/dev/null || {
	echo 'bench/cap-demo: no time(1), skipped'
	exit 0
}
/usr/bin/env time -f 'default run: %e s, %U s user, %S s system' \
    cap-demo -s "$seed" >run || [ $? -le 2 ]
grep -E '^(strong|eventual): behaved|unanswered' run
/usr/bin/env time -f 'pacelc: %e s' cap-demo pacelc -s "$seed" >pacelc
sed -n '/^fastest/,/^eventual read /p' pacelc
