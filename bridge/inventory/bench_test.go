package inventory_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkSurvey reads what QEMU writes of 64 disks.
func BenchmarkSurvey(b *testing.B) {
	line := "serial = \"1\"\r\n"
	tree := strings.ReplaceAll(treeOf(disks(64)...), line, strings.Repeat("                a-property = 16711940 (0xff0104)\r\n", 40)+line)
	reply, err := json.Marshal(tree)
	if err != nil {
		b.Fatal(err)
	}
	var devices []map[string]string
	for i := range 64 {
		devices = append(devices, map[string]string{"name": fmt.Sprint("disk", i), "type": "child<scsi-hd>"})
	}
	list, err := json.Marshal(devices)
	if err != nil {
		b.Fatal(err)
	}
	q := query(b, "qom-list")
	b.SetBytes(int64(len(reply)))
	for b.Loop() {
		r, err := q.Read(list)
		if err != nil {
			b.Fatal(err)
		}
		i := q.Known().Inquire(r.Items)
		survey, _ := i.Next()
		if err := i.Learn(survey, reply); err != nil {
			b.Fatal(err)
		}
	}
}
