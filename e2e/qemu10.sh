#!/bin/sh
# Unpacks the QEMU of bookworm-backports beside the installed one and prints the path of its
# qemu-system-x86_64, for `make e2e QEMU=$(e2e/qemu10.sh)`. It needs Debian 12 and apt-get
# (apt's own sandbox wants root), and no room but its folder: the system's sources, lists and
# packages stay as they are. The folder, ~/.cache/qmp-dbus-bridge/qemu10 where no other is
# given, is used again while it is there.
set -eu
. "$(dirname "$0")/debian.sh"

folder qemu10 "$@"
program=$dir/bin/qemu-system-x86_64

if test -x "$program"; then
	echo "$program"
	exit 0
fi
(. /etc/os-release && test "${VERSION_CODENAME:-}" = bookworm) || fail "this is not Debian 12"
sources bookworm bookworm-backports

# Besides QEMU these are the libraries that the machine lacks or has older. Nothing is installed.
apt get install --download-only --reinstall -y --no-install-recommends -t bookworm-backports \
	qemu-system-x86 qemu-system-common qemu-system-data qemu-utils >&2 \
	|| fail "the packages of QEMU can't be downloaded"
mkdir -p "$tmp/tree/root" "$tmp/tree/bin"
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
keep
"$program" --version >/dev/null || fail "what was unpacked does not run"
echo "$program"
