#!/usr/bin/env bats
# shellcheck disable=SC2154	# bats sets status, output, stderr
# The page that cap-demo --report writes, as text and in a real browser.

bats_require_minimum_version 1.8.0
load helpers

setup() {
	setup_test
	command -v gnuplot >/dev/null || skip 'no gnuplot'
}

# The page that wide (a browser's window has at least 500 pixels), with a script of ours at its end that
# measures it; prints what it found, and the browser's console on stderr.
measure() {
	local page=$PWD/measured.html
	{
		cat "$2"
		echo "<script>let width = $1;</script>"
		cat <<-'END'
			<script>
			let r = {}, html = document.documentElement;
			html.style.width = width + "px";
			r.wide = Math.max(...[...document.querySelectorAll("body > *")].map(
			    e => e.getBoundingClientRect().right));
			r.window = html.getBoundingClientRect().width;
			r.plots = [...document.querySelectorAll("figure svg")].map(s => {
				let b = s.getBoundingClientRect();
				let texts = [...s.querySelectorAll("text")].map(
				    t => t.getBoundingClientRect());
				return { width: b.width, height: b.height,
				    small: Math.min(...texts.map(t => t.height)),
				    out: texts.filter(t => t.left < b.left - 1 ||
					t.right > b.right + 1).length,
				    marks: s.querySelectorAll(
					"path, use, polygon, circle").length };
			});
			document.body.append("MEASURED" + JSON.stringify(r) + "END");
			</script>
		END
	} >"$page"
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars \
	    --user-data-dir="$PWD/profile" --enable-logging=stderr --v=0 \
	    --window-size="$1",1600 --dump-dom "file://$page" 2>console >dom
	grep -a CONSOLE console >&2 || :
	perl -0ne 'print $1 if /.*MEASURED(\{.*?\})END/s' dom
}

@test "cap-demo --report: one file that needs no other, nor scripts" {
	run -0 cap-demo -q -s 41 -W 2s --report r.html
	[ "$(stat -c %s r.html)" -gt 20000 ]
	assert_eq "$(grep -c '<svg' r.html)" 4 plots
	run -1 grep -iE '<script|<img|@import|href="?http|src=' r.html
	assert_match "$(cat r.html)" '<b>strong</b>: behaved CP in this run'
	assert_match "$(cat r.html)" '<b>eventual</b>: behaved AP in this run'
	assert_eq "$(grep -c '<tr class=cut>' r.html)" 4 'rows under the partition'
	# It cannot be written: the status says so.
	run -73 cap-demo -q -s 41 -W 1s --report none/r.html
}

@test "cap-demo --report: with siblings and one level there are plots as well" {
	run -0 cap-demo -q -s 42 -W 2s -c eventual --siblings --report r.html
	assert_eq "$(grep -c '<svg' r.html)" 4 plots
}

# bats test_tags=slow
@test "cap-demo --report: a browser shows it, wide and narrow, without an error" {
	command -v chromium >/dev/null ||
	    skip 'no chromium: apt-get install chromium'
	export BATS_TEST_TIMEOUT=120 width
	cap-demo -q -s 43 -W 4s --report r.html
	for width in 1280 400; do
		run -0 measure $width r.html
		assert_eq "$stderr" '' "the console at $width"
		perl -MJSON::PP -e '
		    $r = decode_json($ARGV[0]);
		    sub want { $_[0] or die "$_[1]: $ARGV[0]\n" }
		    want($r->{window} == $ENV{width}, "window");
		    want($r->{wide} <= $r->{window}, "wider than the window");
		    want(@{$r->{plots}} == 4, "four plots");
		    for (@{$r->{plots}}) {
			want($_->{width} >= 300 && $_->{height} >= 150, "size");
			want($_->{small} >= 9, "text too small");
			want($_->{out} == 0, "text cut off");
			want($_->{marks} >= 8, "no data");
		    }' "$output"
	done
}
