# What qemu.sh and guest.sh share, read by them: an apt of their own, which leaves the system's
# sources, lists and packages as they are, and the folder where they keep what they have made.

fail() { echo "e2e/${0##*/}: $*" >&2; exit 1; }

# folder NAME [DIR] sets $dir: DIR, or where none is given NAME in ~/.cache/qmp-dbus-bridge.
folder() {
	dir=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/qmp-dbus-bridge/$1}
	case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
}

# sources SUITE... fetches the lists of these suites of Debian, and makes $tmp, which ends with the
# script: $tmp/tree is for keep. It needs apt-get, whose own sandbox wants root.
sources() {
	command -v apt-get >/dev/null || fail "apt-get is not installed: this works on Debian"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM
	chmod 755 "$tmp" # apt downloads as another user
	mkdir -p "$tmp/lists/partial" "$tmp/archives/partial" "$tmp/tree"
	chmod 755 "$tmp/tree"
	test "$(id -u)" != 0 || chown _apt "$tmp/archives"

	# The mirror is the one from which this machine has the first of them itself.
	uri=$(apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/$1/InRelease'.*|\1|p" | head -n 1)
	test -n "$uri" || fail "apt has no source of $1"
	for suite in "$@"; do
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
	done >"$tmp/sources.list"
	apt get update >&2 || fail "$* can't be had from $uri"
}

# apt get ... and apt cache ... are apt-get and apt-cache with these sources.
apt() (
	program=apt-$1
	shift
	timeout 300 "$program" -qq -o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$tmp/lists" -o Dir::Cache::Archives="$tmp/archives" \
		-o Dir::Cache::PkgCache= -o Dir::Cache::SrcPkgCache= -o Debug::NoLocking=1 "$@"
)

# keep puts $tmp/tree in the folder's place.
keep() {
	rm -rf "$dir"
	mkdir -p "$(dirname "$dir")"
	mv "$tmp/tree" "$dir"
}
