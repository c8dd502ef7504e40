package inventory

import "encoding/json"

// jobStarters are the commands that start a job, alone or as an action of a transaction. Its id is their job-id, or, where
// they may go without, their device.
var jobStarters = map[string]bool{
	"block-commit": true, "block-stream": true, "blockdev-backup": true, "blockdev-create": true, "blockdev-mirror": true,
	"drive-backup": true, "drive-mirror": true, "snapshot-delete": true, "snapshot-load": true, "snapshot-save": true,
	"x-blockdev-amend": true,
}

// jobDismissers are the commands that dismiss a job, with the name that they have for its id.
var jobDismissers = map[string]string{"block-job-dismiss": "device", "job-dismiss": "id"}

// StartedJob is the id of the job that a command with these arguments starts, empty if it starts none. A device that is a
// node has another job than its name says, which is none that has just begun.
func StartedJob(command string, arguments []byte) string {
	if !jobStarters[command] {
		return ""
	}
	var told struct {
		ID     *string `json:"job-id"`
		Device string  `json:"device"`
	}
	if json.Unmarshal(arguments, &told) != nil {
		return ""
	}
	if told.ID != nil {
		return *told.ID
	}
	return told.Device
}

// DismissedJob is the id of the job that a command with these arguments dismisses, empty if it dismisses none.
func DismissedJob(command string, arguments []byte) string {
	name := jobDismissers[command]
	if name == "" {
		return ""
	}
	var told map[string]any
	if json.Unmarshal(arguments, &told) != nil {
		return ""
	}
	id, _ := told[name].(string)
	return id
}
