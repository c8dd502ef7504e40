package schema_test

import (
	"fmt"
	"strings"
	"testing"
)

// reply is a command's reply as QEMU writes it: members in the order of a hash,
// a blank after each colon and comma.
type reply struct {
	command string
	json    []byte
}

// replies are large replies of real QEMUs' shape.
func replies(t testing.TB) []reply {
	t.Helper()
	return []reply{
		{"query-status", []byte(`{"status": "running", "running": true}`)},
		{"query-qmp-schema", spaced(compactSchema(t, "qmp-schema-10.0.2-x86_64.json"))},
		{"query-named-block-nodes", list(40, blockNode)},
		{"query-cpus-fast", list(64, cpu)},
		{"qom-list-properties", list(120, qomProperty)},
	}
}

// spaced puts in the blanks; the schemas have no string with a colon or comma.
func spaced(json []byte) []byte {
	return []byte(strings.NewReplacer(",", ", ", ":", ": ").Replace(string(json)))
}

func list(n int, element func(int) string) []byte {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = element(i)
	}
	return []byte("[" + strings.Join(elements, ", ") + "]")
}

func blockNode(i int) string {
	const throttle = `"iops_rd": 0, "detect_zeroes": "off", "active": true, "iops_wr": 0, "ro": false, ` +
		`"bps_rd": 0, "bps_wr": 0, "iops": 0, "bps": 0, "write_threshold": 0, "encrypted": false, ` +
		`"cache": {"no-flush": false, "direct": true, "writeback": true}`
	format := `{` + throttle + `, "node-name": "disk%[1]d", "backing_file_depth": 0, "drv": "qcow2", ` +
		`"file": "/var/lib/libvirt/images/machine-%[1]d.qcow2", "image": {"virtual-size": 21474836480, ` +
		`"filename": "/var/lib/libvirt/images/machine-%[1]d.qcow2", "cluster-size": 65536, "format": "qcow2", ` +
		`"actual-size": 4294967296, "format-specific": {"type": "qcow2", "data": {"compat": "1.1", ` +
		`"compression-type": "zlib", "lazy-refcounts": false, "refcount-bits": 16, "corrupt": false, "extended-l2": false}}, ` +
		`"dirty-flag": false}}`
	return fmt.Sprintf(format, i)
}

func cpu(i int) string {
	return fmt.Sprintf(`{"thread-id": %d, "props": {"core-id": %d, "thread-id": 0, "socket-id": %d, "node-id": 0}, `+
		`"qom-path": "/machine/unattached/device[%d]", "cpu-index": %[2]d, "target": "x86_64"}`, 25627+i, i, i/16, i)
}

func qomProperty(i int) string {
	return fmt.Sprintf(`{"name": "x-property-%d", "description": "on/off", "type": "bool", "default-value": %v}`, i, i%2 == 0)
}
