// Package patient writes a log to somebody who may not read it: a reader of our standard error that
// stops must not stop the bridge.
//
// Lines go to a queue, and a goroutine writes them to their destination in that order. What is
// logged is copied; nobody who logs waits or gets an error.
//
// # Limits
//
// 1024 lines wait at most. Of those that came when there was no room the number is told, in a line
// of its own before the next one, or at the end. Close waits a second for the destination.
//
// # Usage
//
//	log := patient.New(os.Stderr, "qmp-dbus-bridge")
//	defer log.Close()
//	slog.New(slog.NewTextHandler(log, nil)).Info("ready")
package patient
