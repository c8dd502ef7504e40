#!/bin/sh
# Unpacks the QEMU of bookworm-backports beside the installed one and prints the path of its
# qemu-system-x86_64, for `make e2e QEMU=$(e2e/qemu10.sh)`. It needs Debian 12 and apt-get
# (apt's own sandbox wants root), and no room but its folder: the system's sources, lists and
# packages stay as they are. The folder, ~/.cache/qmp-dbus-bridge/qemu10 where no other is
# given, is used again while it is there.
set -eu

dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/qmp-dbus-bridge/qemu10}
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
program=$dir/bin/qemu-system-x86_64

if test -x "$program"; then
	echo "$program"
	exit 0
fi
fail() { echo "e2e/qemu10.sh: $*" >&2; exit 1; }
command -v apt-get >/dev/null || fail "apt-get is not installed: this works on Debian 12"
(. /etc/os-release && test "${VERSION_CODENAME:-}" = bookworm) || fail "this is not Debian 12"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$tmp" # apt downloads as another user
mkdir -p "$tmp/lists/partial" "$tmp/archives/partial" "$tmp/tree/root" "$tmp/tree/bin"

# The mirror is the one from which this machine has bookworm itself.
uri=$(apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/bookworm/InRelease'.*|\1|p" | head -n 1)
test -n "$uri" || fail "apt has no source of bookworm"
for suite in bookworm bookworm-backports; do
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
done >"$tmp/sources.list"

apt() {
	timeout 300 apt-get -qq -o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$tmp/lists" -o Dir::Cache::Archives="$tmp/archives" \
		-o Dir::Cache::PkgCache= -o Dir::Cache::SrcPkgCache= -o Debug::NoLocking=1 "$@" >&2
}
apt update || fail "bookworm-backports can't be had from $uri"

# Besides QEMU these are the libraries that the machine lacks or has older. Nothing is installed.
apt install --download-only --reinstall -y --no-install-recommends -t bookworm-backports \
	qemu-system-x86 qemu-system-common qemu-system-data qemu-utils \
	|| fail "the packages of QEMU can't be downloaded"
for package in "$tmp"/archives/*.deb; do
	dpkg-deb -x "$package" "$tmp/tree/root"
done

# QEMU finds its modules and firmware by its own place. Libraries have to be told.
libraries=$(cd "$tmp/tree" && for d in root/lib/*-linux-gnu root/usr/lib/*-linux-gnu; do test ! -d "$d" || printf ':%s' "$dir/$d"; done)
for name in qemu-system-x86_64 qemu-img qemu-storage-daemon; do
	cat >"$tmp/tree/bin/$name" <<END
#!/bin/sh
LD_LIBRARY_PATH=${libraries#:}
export LD_LIBRARY_PATH
exec $dir/root/usr/bin/$name "\$@"
END
	chmod 755 "$tmp/tree/bin/$name"
done
chmod 755 "$tmp/tree"
rm -rf "$dir"
mkdir -p "$(dirname "$dir")"
mv "$tmp/tree" "$dir"
"$program" --version >/dev/null || fail "what was unpacked does not run"
echo "$program"
