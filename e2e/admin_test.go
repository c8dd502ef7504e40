package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"qmp-dbus-bridge/e2e/rig"
)

// transcript is a command line of docs/admin.md, and what it prints, where "..." stands for anything.
type transcript struct{ line, want string }

// TestAdministration types docs/admin.md, as it stands there, to the machine that it describes.
func TestAdministration(t *testing.T) {
	rig.RequireRoot(t)
	rig.Require(t, "busctl", "setpriv", rig.QEMUProgram())
	onBothBuses(t, func(t *testing.T, flags []string) {
		dir := rig.TempDir(t)
		page, err := os.ReadFile("../docs/admin.md")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(page), "/srv/", dir+"/")
		args := regexp.MustCompile(`(?m)^    qemu-system-x86_64 -M q35 -accel tcg -nodefaults -display none -qmp \S+ (.*)$`).FindStringSubmatch(text)
		grants := regexp.MustCompile(`(?m)^    qmp-dbus-bridge serve --qmp \S+ (.*)$`).FindStringSubmatch(text)
		createImage(t, dir+"/vm7.qcow2")
		for name, content := range map[string]string{"cd.iso": "a medium", "more.raw": "a disk"} {
			if err := os.WriteFile(filepath.Join(dir, name), append([]byte(content), make([]byte, 1<<20)...), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		vm := rig.StartQEMU(t, rig.QEMU{Args: strings.Fields(args[1])})
		b := serveQEMU(t, vm, slices.Concat(flags, []string{"--audit", "none"}, strings.Fields(grants[1]))...)
		sh := startTerminal(t, b.address)
		for _, one := range transcripts(text) {
			if got := sh.typed(t, one.line); !matches(one.want, got) {
				t.Errorf("$ %s\n%swant\n%s", one.line, got, one.want)
			}
		}
		vm.Wait(t) // that was the last of it
	})
}

// transcripts are those of a page's console blocks.
func transcripts(page string) (all []transcript) {
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for _, part := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			line, want, _ := strings.Cut(part, "\n")
			if want != "" && !strings.HasSuffix(want, "\n") {
				want += "\n"
			}
			all = append(all, transcript{line, want})
		}
	}
	return all
}

// matches reports whether a text is what a page shows.
func matches(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), `\.\.\.`, `.*`)
	return regexp.MustCompile(`(?s)^` + pattern + `$`).MatchString(got)
}

// terminal is a shell that goes on from one line to the next.
type terminal struct {
	stdin   io.Writer
	printed *bufio.Reader
	hangUp  func() error // ends a wait for what it prints
}

// startTerminal starts a shell with BUS in its environment.
func startTerminal(t *testing.T, address string) *terminal {
	t.Helper()
	cmd := exec.Command("bash", "--noprofile", "--norc")
	cmd.Env = append(os.Environ(), "BUS="+address)
	out, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = end, end
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	rig.Start(t, cmd)
	end.Close()
	t.Cleanup(func() { stdin.Close(); out.Close() })
	return &terminal{stdin, bufio.NewReader(out), out.Close}
}

// typed types a line and returns what it printed, within [rig.Timeout].
func (s *terminal) typed(t *testing.T, line string) string {
	t.Helper()
	patience := time.AfterFunc(rig.Timeout, func() { _ = s.hangUp() })
	defer patience.Stop()
	if _, err := fmt.Fprintf(s.stdin, "%s\nprintf '\\0'\n", line); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	printed, err := s.printed.ReadString(0)
	if err != nil {
		t.Fatalf("%s: %v after %q", line, err, printed)
	}
	return strings.TrimSuffix(printed, "\x00")
}
