package inventory

import "qmp-dbus-bridge/schema"

// The indexes of Queries that others need to know.
const (
	Status = 0
	Jobs   = 11 // what a Ledger reads
	Count  = 13 // of them all
)

// Queries are all that is read of a VM, in the order in which it is.
var Queries = [Count]Query{
	Status: {
		Command: "query-status",
		Facts:   []schema.Property{{Name: "Status", Type: "s"}, {Name: "Running", Type: "b"}},
		read:    readStatus,
		// They don't tell which status it is: STOP comes for paused, io-error, save-vm and others
		// (QEMU's qapi/run-state.json).
		events: []string{
			"BLOCK_IO_ERROR", "COLO_EXIT", "GUEST_CRASHLOADED", "GUEST_PANICKED", "MIGRATION", "RESET", "RESUME",
			"SHUTDOWN", "STOP", "SUSPEND", "SUSPEND_DISK", "WAKEUP", "WATCHDOG",
		},
	},
	{
		Command: "qom-get", Arguments: []byte(`{"path":"/machine","property":"type"}`),
		Facts: []schema.Property{{Name: "Machine", Type: "s"}},
		read:  facts(readMachine),
	},
	{
		Command: "query-kvm",
		Facts:   []schema.Property{{Name: "Accelerator", Type: "s"}},
		read:    facts(readAccelerator),
	},
	{
		Command:  "query-memory-size-summary",
		Facts:    []schema.Property{{Name: "MemorySize", Type: "t"}},
		read:     facts(readMemorySize),
		events:   []string{"DEVICE_DELETED", "MEMORY_DEVICE_SIZE_CHANGE"},
		commands: []string{"device_add"},
	},
	{
		Command:  "query-balloon",
		Facts:    []schema.Property{{Name: "BalloonActual", Type: "t"}},
		read:     facts(readBalloon),
		events:   []string{"BALLOON_CHANGE", "DEVICE_DELETED", "MEMORY_DEVICE_SIZE_CHANGE"},
		commands: []string{"balloon", "device_add"},
	},
	{
		Command: "query-cpus-fast",
		Facts:   []schema.Property{{Name: "VCPUs", Type: "u"}},
		Kind: &Kind{"cpu", "org.qemu.VM1.CPU", []schema.Property{
			{Name: "Index", Type: "u"},
			{Name: "ThreadID", Type: "u"},
			{Name: "QomPath", Type: "s"},
			{Name: "Socket", Type: "x"},
			{Name: "Core", Type: "x"},
			{Name: "Thread", Type: "x"},
		}},
		read:     readCPUs,
		events:   []string{"DEVICE_DELETED"},
		commands: []string{"device_add"},
	},
	{
		Command: "query-memory-devices",
		Kind: &Kind{"memory", "org.qemu.VM1.Memory", []schema.Property{
			{Name: "Kind", Type: "s"},
			{Name: "Size", Type: "t"},
			{Name: "Slot", Type: "x"},
			{Name: "Hotplugged", Type: "b"},
		}},
		read:     list(readMemory),
		events:   []string{"DEVICE_DELETED", "MEMORY_DEVICE_SIZE_CHANGE"},
		commands: []string{"device_add"},
	},
	{
		Command: "qom-list", Arguments: []byte(`{"path":"/machine/peripheral"}`),
		Kind: &Kind{"device", "org.qemu.VM1.Device", []schema.Property{
			{Name: "Driver", Type: "s"},
			{Name: "QomPath", Type: "s"},
			{Name: "Bus", Type: "s"},
		}},
		Detail:   &Detail{property: "parent_bus", show: readBus, survey: busSurvey},
		read:     list(readDevice),
		events:   []string{"DEVICE_DELETED"},
		commands: []string{"device_add"},
	},
	{
		Command: "human-monitor-command", Arguments: []byte(`{"command-line":"info network"}`),
		Kind: &Kind{"net", "org.qemu.VM1.Net", []schema.Property{
			{Name: "MAC", Type: "s"},
			{Name: "QueueCount", Type: "u"},
			{Name: "Link", Type: "b"},
			{Name: "Netdev", Type: "s"},
		}},
		Detail:  &Detail{property: "netdev", required: true, show: Text},
		read:    readNICs,
		hearsay: newLinks,
		// The guest may give a NIC another address. QEMU tells of the first change of a filter, and then of none until somebody
		// executes query-rx-filter. The bridge does not, or a guest could have it ask all the time.
		events:   []string{"DEVICE_DELETED", "NIC_RX_FILTER_CHANGED"},
		commands: []string{"device_add", "netdev_add", "netdev_del", "query-rx-filter", "set_link"},
	},
	{
		Command: "query-block",
		Kind: &Kind{"block", "org.qemu.VM1.Block", []schema.Property{
			{Name: "Device", Type: "s"},
			{Name: "QomPath", Type: "s"},
			{Name: "NodeName", Type: "s"},
			{Name: "Format", Type: "s"},
			{Name: "ReadOnly", Type: "b"},
			{Name: "Removable", Type: "b"},
			{Name: "TrayOpen", Type: "b"},
			{Name: "Inserted", Type: "b"},
			{Name: "VirtualSize", Type: "t"},
			{Name: "Encrypted", Type: "b"},
			{Name: "IOStatus", Type: "s"},
			guarded("File", "s", schema.Invalidates, "query-block"),
			guarded("ActualSize", "t", schema.Never, "query-block"), // it grows as the guest writes
		}},
		read: list(readDrive),
		// Images change when a job ends; RESUME clears what BLOCK_IO_ERROR tells of.
		events: []string{
			"BLOCK_IO_ERROR", "BLOCK_JOB_CANCELLED", "BLOCK_JOB_COMPLETED", "DEVICE_DELETED", "DEVICE_TRAY_MOVED",
			"RESET", "RESUME",
		},
		commands: []string{
			"block_resize", "blockdev-change-medium", "blockdev-close-tray", "blockdev-insert-medium",
			"blockdev-open-tray", "blockdev-remove-medium", "blockdev-reopen", "blockdev-snapshot",
			"blockdev-snapshot-sync", "change", "device_add", "eject", "transaction", "x-blockdev-reopen",
		},
	},
	{
		Command: "query-chardev",
		Kind: &Kind{"chardev", "org.qemu.VM1.Chardev", []schema.Property{
			{Name: "FrontendOpen", Type: "b"},
			guarded("Filename", "s", schema.Invalidates, "query-chardev"),
		}},
		read:     list(readChardev),
		events:   []string{"DEVICE_DELETED", "VSERPORT_CHANGE"},
		commands: []string{"chardev-add", "chardev-change", "chardev-remove", "device_add"},
	},
	Jobs: {
		Command: "query-jobs",
		Kind: &Kind{"job", "org.qemu.VM1.Job", []schema.Property{
			{Name: "Type", Type: "s"},
			{Name: "Status", Type: "s"},
			{Name: "Current", Type: "t"},
			{Name: "Total", Type: "t"},
			{Name: "Progress", Type: "d"},
			guarded("Error", "s", schema.Invalidates, "query-jobs"),
			{Name: "StartedBy", Type: "u"},
			{Name: "StartTime", Type: "t"},
		}},
		read:   readJobs,
		events: []string{"JOB_STATUS_CHANGE"},
	},
	{
		Command: "query-migrate",
		Kind: &Kind{"", "org.qemu.VM1.Migration", []schema.Property{
			{Name: "Status", Type: "s"},
			{Name: "Transferred", Type: "t"},
			{Name: "Remaining", Type: "t"},
			{Name: "Total", Type: "t"},
			{Name: "Progress", Type: "d"},
			{Name: "DowntimeMs", Type: "t"},
			guarded("Error", "s", schema.Invalidates, "query-migrate"),
		}},
		read: readMigration,
		// The first two come only if somebody has set the capability events; each migration stops the guest, and has it run.
		events: []string{"MIGRATION", "MIGRATION_PASS", "RESUME", "STOP"},
		commands: []string{
			"migrate", "migrate-continue", "migrate-incoming", "migrate-pause", "migrate-recover", "migrate-start-postcopy",
			"migrate_cancel", "x-colo-lost-heartbeat", "yank",
		},
		refused: []string{"migrate", "migrate-incoming"}, // then one has failed (7.2's migrate_fd_error)
	},
}

// guarded is a property that is shown to those alone who may run the command that tells it, and not to all who hear signals:
// QEMU's names of files and words about failures quote URIs, which may hold passwords.
func guarded(name, signature string, emits schema.EmitsChanged, command string) schema.Property {
	return schema.Property{
		Name: name, Type: signature, EmitsChanged: emits,
		Annotations: []schema.Annotation{{Name: schema.AnnotationCommand, Value: command}},
	}
}
