#!/bin/sh
# Makes a small Linux guest for the end-to-end tests from Debian's packages, the kernel for
# virtual machines with its modules and a static busybox, and prints the paths of its kernel and
# of its initramfs. It needs Debian and apt-get (apt's own sandbox wants root), and no room but
# its folder: the system's sources, lists and packages stay as they are. The folder,
# ~/.cache/qmp-dbus-bridge/guest where no other is given, is used again while it is what this
# script makes. What runs in the guest is guest.init.
set -eu
here=$(dirname "$0")
. "$here/debian.sh"

folder guest "$@"
made=$(cat "$here/guest.sh" "$here/guest.init" | sha256sum)
if test "$made" = "$(cat "$dir/made" 2>/dev/null)"; then
	echo "$dir/vmlinuz"
	echo "$dir/initrd"
	exit 0
fi
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
test -n "$suite" || fail "this is not a release of Debian"
sources "$suite"

# The package linux-image-cloud-amd64 is empty and depends on the one that has the kernel.
kernel=$(apt cache show linux-image-cloud-amd64 | sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p')
test -n "$kernel" || fail "$suite has no linux-image-cloud-amd64"
(cd "$tmp/archives" && apt get download -o Dir::State::Status=/dev/null "$kernel" busybox-static >&2) \
	|| fail "the packages of the guest can't be downloaded"
for package in "$tmp"/archives/*.deb; do
	dpkg-deb -x "$package" "$tmp/root"
done
busybox() { "$tmp/root/bin/busybox" "$@"; }

# The initramfs: busybox under all its names, and the power button's action.
guest=$tmp/guest
mkdir -p "$guest/bin" "$guest/dev" "$guest/proc" "$guest/sys" "$guest/tmp" "$guest/var/log" "$guest/var/run" \
	"$guest/etc/acpi/PWRF"
cp "$tmp/root/bin/busybox" "$guest/bin/busybox"
for name in $(busybox --list); do
	test -e "$guest/bin/$name" || ln -s busybox "$guest/bin/$name"
done
cp "$here/guest.init" "$guest/init"
printf '#!/bin/sh\npoweroff -f\n' >"$guest/etc/acpi/PWRF/00000080" # as acpid names the event
chmod 755 "$guest/init" "$guest/etc/acpi/PWRF/00000080"

# The modules that the guest loads, with those that they need before them.
modules="button evdev virtio_pci virtio_blk virtio_net virtio_balloon virtio_console
	virtio_scsi sd_mod sr_mod pvpanic-mmio virtiofs"
echo $modules >"$guest/etc/modules"
release=$(ls "$tmp/root/lib/modules")
busybox depmod -b "$tmp/root" "$release"
mkdir -p "$guest/lib/modules/$release"
(
	cd "$tmp/root/lib/modules/$release"
	for module in $modules; do
		files=$(grep "/$module\.ko:" modules.dep) || fail "$kernel has no $module"
		cp --parents -t "$guest/lib/modules/$release" $(echo "$files" | tr -d :)
	done
)
busybox depmod -b "$guest" "$release"
(cd "$guest" && find . | busybox cpio -o -H newc) >"$tmp/tree/initrd"

cp "$tmp/root/boot/vmlinuz-$release" "$tmp/tree/vmlinuz"
keep
echo "$made" >"$dir/made"
echo "$dir/vmlinuz"
echo "$dir/initrd"
