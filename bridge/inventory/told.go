package inventory

// resumesToSleep is the first version of QEMU in which RESUME does not tell the status: a VM that was stopped while its guest slept
// is suspended again (vm_prepare_start in 9.0's system/cpus.c). Distributors may have it earlier by half a version.
var resumesToSleep = [2]int{8, 2} // major, minor

// Told is what an event tells by itself of the facts of the query Status, as they are from then on: nil if it tells nothing, and QEMU is to
// be asked. RESUME alone does, of a QEMU before resumesToSleep, which then runs. STOP comes for paused, io-error, save-vm and
// others, and even while the VM runs: before RESUME, when it is resumed with a stop yet to come.
//
// QEMU executes query-status on the thread that sends RESUME, so that an answer which comes after the event is not older.
// That is what other events that tell something lack: a job changes its status on whichever thread it runs, a tray is moved on that of
// the drive. Those have one query each, and what it tells is shown as soon as that is answered.
func Told(event string, major, minor int) []Value {
	later := major > resumesToSleep[0] || major == resumesToSleep[0] && minor >= resumesToSleep[1]
	if event != "RESUME" || later {
		return nil
	}
	return []Value{Text("running"), Flag(true)}
}
