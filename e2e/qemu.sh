#!/bin/sh
# e2e/qemu.sh 10|5.2 [FOLDER]
#
# Unpacks another QEMU beside the installed one and prints the path of its qemu-system-x86_64: that of
# bookworm-backports, for `make e2e QEMU=$(e2e/qemu.sh 10)`, or bullseye's 5.2, the oldest that is
# supported, for TestOldestVersion. It needs Debian 12 and apt-get (apt's own sandbox wants root), and no
# room but its folder: the system's sources, lists and packages stay as they are. The folder,
# ~/.cache/qmp-dbus-bridge/qemu10 or qemu5.2 where no other is given, is used again while it is there.
set -eu
. "$(dirname "$0")/debian.sh"

# What is unpacked with QEMU: for 10 the libraries that the machine lacks or has older; for 5.2 all,
# as if nothing were installed, but for libc, of which the machine's newer one does.
version=${1:-}
case $version in
10) suite=bookworm-backports installed=/var/lib/dpkg/status ;;
5.2) suite=bullseye installed=/dev/null ;;
*) fail "want 10 or 5.2, and a folder if you like" ;;
esac
shift
folder "qemu$version" "$@"
program=$dir/bin/qemu-system-x86_64

if test -x "$program"; then
	echo "$program"
	exit 0
fi
(. /etc/os-release && test "${VERSION_CODENAME:-}" = bookworm) || fail "this is not Debian 12"
sources bookworm "$suite"

apt get install -o Dir::State::status="$installed" --download-only --reinstall -y --no-install-recommends -t "$suite" \
	qemu-system-x86 qemu-system-common qemu-system-data qemu-utils >&2 \
	|| fail "the packages of QEMU can't be downloaded"
mkdir -p "$tmp/tree/root" "$tmp/tree/bin"
for package in "$tmp"/archives/*.deb; do
	case $package in */libc6_*) continue ;; esac
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
