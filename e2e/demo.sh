#!/usr/bin/env bash
# What `make demo` shows: a small VM started by `run`, and busctl at work on it. Every
# command is printed before it runs. On a terminal the VM then stays, with commands to
# try; without one the demo ends the VM and itself.
set -euo pipefail
export SYSTEMD_PAGER=cat # busctl must not wait for a key
cd "$(dirname "$0")/.."

bridge=$PWD/bin/qmp-dbus-bridge
dir=$(mktemp -d /tmp/qmp-dbus-bridge-demo.XXXXXX)
chmod 711 "$dir" # the viewer must reach the bus
vm='' monitor=''
clean_up() {
  [ -z "$monitor" ] || kill "$monitor" 2>/dev/null || true
  if [ -n "$vm" ] && kill "$vm" 2>/dev/null; then wait "$vm" || true; fi
  rm -rf "$dir"
}
trap clean_up EXIT

# wait_for TEST...: until the test holds, 10 s at most.
wait_for() {
  for _ in {1..200}; do
    if "$@"; then return; fi
    kill -0 "$vm" 2>/dev/null || break
    sleep 0.05
  done
  echo "demo: gave up waiting for: $*" >&2
  cat "$dir/err" >&2
  exit 1
}

# KVM only where it really runs a guest: nested KVM may open and then hang. The probe's
# firmware logs to a port as soon as it runs.
runs_kvm() {
  [ -w /dev/kvm ] || return 1
  local log=$dir/kvm-probe probe
  qemu-system-x86_64 -accel kvm -m 16 -nodefaults -display none \
    -chardev "file,id=log,path=$log" -device isa-debugcon,iobase=0x402,chardev=log >/dev/null 2>&1 &
  probe=$!
  for _ in {1..60}; do
    if [ -s "$log" ] || ! kill -0 $probe 2>/dev/null; then break; fi
    sleep 0.05
  done
  kill -KILL $probe 2>/dev/null || true
  wait $probe 2>/dev/null || true
  [ -s "$log" ]
}
accel=tcg
if runs_kvm; then accel=kvm; fi

# show prints a command as one would type it, and runs it.
status=0
show() {
  local words='' word
  for word in "$@"; do
    case $word in *[!-A-Za-z0-9_./:=,]*) word="'$word'" ;; esac
    words+=" $word"
  done
  printf '\n$%s\n' "${words//$dir/DIR}"
  status=0
  "$@" 2>&1 || status=$?
}

# A user who is not this one, for the refused call. Only root can become another.
viewer=()
if [ "$(id -u)" = 0 ]; then
  viewer=(setpriv --reuid=1 --regid=1 --clear-groups --)
elif sudo -n true 2>/dev/null; then
  viewer=(sudo -n setpriv --reuid=1 --regid=1 --clear-groups --)
fi

"$bridge" run --bus-dir "$dir/bus" --audit "$dir/audit" --power-down-timeout 1s --grant viewer=uid:1 -- \
  qemu-system-x86_64 -accel $accel -M q35 -m 64 -nodefaults -display none -name demo \
  -drive if=none,id=disk0,driver=null-co,size=1M -device virtio-blk-pci,drive=disk0 \
  >"$dir/out" 2>"$dir/err" &
vm=$!
wait_for grep -q '^bus=' "$dir/out"
bus=$(sed -n 's/^bus=//p' "$dir/out")
echo "A VM runs ($accel), and with it a private bus: $bus"

call=(busctl --address="$bus" call org.qemu.VM1)
printf '\n$ busctl --address=%s tree org.qemu.VM1 | grep -v QOM/   # a few hundred objects of QEMU'"'"'s\n' "${bus//$dir/DIR}"
busctl --address="$bus" tree org.qemu.VM1 | grep -v QOM/
show busctl --address="$bus" introspect org.qemu.VM1 /org/qemu/VM1
show busctl --address="$bus" get-property org.qemu.VM1 /org/qemu/VM1 org.qemu.VM1 Name Status Version
show "${call[@]}" /org/qemu/VM1/QMP org.qemu.VM1.QMP Call 'sa{sv}' query-block 0

# The signals that Pause and Resume cause.
busctl --address="$bus" --json=short --match="type='signal',path_namespace='/org/qemu/VM1'" monitor >"$dir/signals" 2>&1 &
monitor=$!
wait_for grep -qs 'Monitoring bus' "$dir/signals"
show "${call[@]}" /org/qemu/VM1 org.qemu.VM1 Pause
show busctl --address="$bus" get-property org.qemu.VM1 /org/qemu/VM1 org.qemu.VM1 Status
show "${call[@]}" /org/qemu/VM1 org.qemu.VM1 Resume
wait_for grep -q 'PropertiesChanged.*"running"' "$dir/signals"
printf "\n\$ busctl --address=unix:path=DIR/bus/bus --json=short --match=\"type='signal',path_namespace='/org/qemu/VM1'\" monitor   # meanwhile\n"
grep '^{' "$dir/signals"

if [ ${#viewer[@]} -gt 0 ]; then
  show "${viewer[@]}" busctl --address="$bus" get-property org.qemu.VM1 /org/qemu/VM1 org.qemu.VM1 Status
  show "${viewer[@]}" "${call[@]}" /org/qemu/VM1 org.qemu.VM1 Pause
  [ "$status" != 0 ] || { echo 'demo: the viewer paused the VM' >&2; exit 1; }
  wait_for grep -q '"uid":1,.*"deny"' "$dir/audit"
  printf '\n$ grep deny AUDIT\n'
  grep '"deny"' "$dir/audit"
else
  echo 'The refused call of another user needs root: sudo make demo shows it.'
fi

if [ -t 1 ]; then
  cat <<EOT

The VM stays up. In another terminal, as this user:

  export DBUS_SESSION_BUS_ADDRESS=$bus
  busctl --user introspect org.qemu.VM1 /org/qemu/VM1/QMP
  busctl --user call org.qemu.VM1 /org/qemu/VM1/QMP org.qemu.VM1.QMP CallJson ss query-cpus-fast ''
  gdbus monitor --session --dest org.qemu.VM1
  busctl --user call org.qemu.VM1 /org/qemu/VM1 org.qemu.VM1 Quit

Ctrl-C ends it.
EOT
  wait "$vm" || true
  vm=''
fi
