"""Follows the VM and the objects below it by signals alone.

    follow.py ADDRESS            for each line on standard input, prints what there is as one line of JSON: {PATH: {PROPERTY: VALUE}}
    follow.py --replay BASE      starts with that JSON and goes by the output of gdbus monitor on standard input to its end
"""
import json
import sys

import dbus
import dbus.bus
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

NAME, VM = "org.qemu.VM1", "/org/qemu/VM1"
MANAGER, PROPERTIES = "org.freedesktop.DBus.ObjectManager", "org.freedesktop.DBus.Properties"

have = {}


def plain(value):
    if isinstance(value, (bool, dbus.Boolean)):
        return bool(value)
    if isinstance(value, (int, float)):
        return float(value)
    return str(value)


def own(interfaces):
    """The properties of the interface that is the object's own."""
    return {str(p): plain(v) for name, all in interfaces.items() if name.startswith(NAME) for p, v in all.items()}


def added(path, interfaces):
    if path in have:
        sys.exit("added twice: %s" % path)
    have[str(path)] = own(interfaces)


def removed(path, interfaces):
    if have.pop(str(path), None) is None:
        sys.exit("removed, and not there: %s" % path)


def changed(path, interface, values, invalidated):
    if path not in have:
        sys.exit("changed, and not there: %s" % path)
    for name, value in values.items():
        if have[path].get(name) == plain(value):
            sys.exit("changed to what it was: %s.%s = %s" % (path, name, value))
        have[path][str(name)] = plain(value)


def follow(address):
    loop = GLib.MainLoop()
    bus = dbus.bus.BusConnection(address, mainloop=DBusGMainLoop())
    bus.add_signal_receiver(added, "InterfacesAdded", MANAGER, NAME, VM)
    bus.add_signal_receiver(removed, "InterfacesRemoved", MANAGER, NAME, VM)
    bus.add_signal_receiver(lambda i, v, gone, path: changed(path, i, v, gone), "PropertiesChanged", PROPERTIES, NAME, path_keyword="path")
    vm = bus.get_object(NAME, VM, introspect=False)

    def failed(error):
        sys.exit(str(error))

    def line(source, condition):
        if not sys.stdin.readline():
            loop.quit()
            return False
        # The answer comes after all signals that were sent before it.
        vm.Ping(dbus_interface="org.freedesktop.DBus.Peer", reply_handler=lambda: print(json.dumps(have), flush=True), error_handler=failed)
        return True

    def begin(objects):
        for path, interfaces in objects.items():
            added(path, interfaces)
        GLib.io_add_watch(0, GLib.IO_IN | GLib.IO_HUP, line)

    vm.GetAll(NAME, dbus_interface=PROPERTIES, reply_handler=lambda all: added(VM, {NAME: all}), error_handler=failed)
    vm.GetManagedObjects(dbus_interface=MANAGER, reply_handler=begin, error_handler=failed)
    # What a handler raises, python3-dbus only logs: an exit has to end the loop.
    loop.run()


def replay(base):
    have.update(json.loads(base))
    for line in sys.stdin:
        path, colon, rest = line.partition(": ")
        member, space, arguments = rest.partition(" ")
        if not colon or not path.startswith("/"):
            continue
        if member not in (MANAGER + ".InterfacesAdded", MANAGER + ".InterfacesRemoved", PROPERTIES + ".PropertiesChanged"):
            continue
        values = GLib.Variant.parse(None, arguments.strip(), None, None).unpack()
        if member.endswith("Added"):
            added(*values)
        elif member.endswith("Removed"):
            removed(*values)
        else:
            changed(path, *values)
    print(json.dumps(have))


if sys.argv[1] == "--replay":
    replay(sys.argv[2])
else:
    follow(sys.argv[1])
