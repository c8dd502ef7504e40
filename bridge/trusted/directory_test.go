package trusted_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qmp-dbus-bridge/bridge/trusted"
	"qmp-dbus-bridge/e2e/rig"
)

const owner = 5 // besides root

// TestUntrusted has somebody else able to change what is at the path, in each way that there is.
func TestUntrusted(t *testing.T) {
	rig.RequireRoot(t)
	for name, tt := range map[string]struct {
		make func(b *builder)
		path string
		may  trusted.Writers
		want string // after the test's directory
	}{
		"another's":           {func(b *builder) { b.dir("a", 1, 0o755) }, "a", 0, "/a belongs to uid 1, neither to root nor to uid 5"},
		"below another's":     {func(b *builder) { b.dir("a", 1, 0o755); b.dir("a/b", 0, 0o755) }, "a/b", 0, "/a belongs to uid 1, "},
		"nobody's":            {func(b *builder) { b.dir("a", 65534, 0o755) }, "a", 0, "/a belongs to uid 65534, "},
		"open to all":         {func(b *builder) { b.dir("a", 0, 0o777) }, "a", 0, "/a can be written by others (mode 0777)"},
		"open to all, may":    {func(b *builder) { b.dir("a", 0, 0o777) }, "a", trusted.Group, "/a can be written by others (mode 0777)"},
		"open to a group":     {func(b *builder) { b.dir("a", owner, 0o770) }, "a", 0, "/a can be written by others (mode 0770)"},
		"another's, sticky":   {func(b *builder) { b.dir("a", 1, 0o777|fs.ModeSticky) }, "a", 0, "/a belongs to uid 1, "},
		"below a sticky one":  {func(b *builder) { b.dir("a", 0, 0o777|fs.ModeSticky); b.dir("a/b", 1, 0o755) }, "a/b", 0, "/a/b belongs to uid 1, "},
		"another's link":      {func(b *builder) { b.dir("a", 0, 0o777|fs.ModeSticky); b.dir("b", 0, 0o755); b.link("a/l", 1, "../b") }, "a/l", 0, "/a/l belongs to uid 1, "},
		"link in another's":   {func(b *builder) { b.dir("a", 1, 0o755); b.dir("b", 0, 0o755); b.link("a/l", 0, "../b") }, "a/l", 0, "/a belongs to uid 1, "},
		"link to another's":   {func(b *builder) { b.dir("a", 1, 0o755); b.link("l", 0, "a") }, "l", 0, "/a belongs to uid 1, "},
		"link past another's": {func(b *builder) { b.dir("a", 1, 0o755); b.dir("b", 0, 0o755); b.link("l", 0, "a/../b") }, "l", 0, "/a belongs to uid 1, "},
		"links without end":   {func(b *builder) { b.link("l", 0, "l") }, "l", 0, "/l: more than 40 symbolic links"},
		"a file":              {func(b *builder) { b.link("l", 0, "/dev/null") }, "l", 0, ""},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			b := &builder{t, rig.TempDir(t)}
			tt.make(b)
			want := b.root + tt.want
			if tt.want == "" {
				want = "/dev/null is not a directory"
			}
			real, err := trusted.Directory(filepath.Join(b.root, tt.path), owner, tt.may)
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("Directory = %s, %v, want %s", real, err, want)
			}
		})
	}
}

func TestTrusted(t *testing.T) {
	rig.RequireRoot(t)
	b := &builder{t, rig.TempDir(t)}
	b.dir("root", 0, 0o755)
	b.dir("root/own", owner, 0o700)
	b.dir("group", 0, 0o775)
	b.dir("sticky", 0, 0o777|fs.ModeSticky)
	b.dir("sticky/own", owner, 0o700)
	b.link("link", owner, "root/../sticky/./own")
	b.link("absolute", 0, filepath.Join(b.root, "link"))
	b.link("0", 0, "root")
	for i := range 39 {
		b.link(fmt.Sprint(i+1), 0, fmt.Sprint(i))
	}
	for path, want := range map[string]string{
		"root": "root", "root/own": "root/own", "root/own/../own": "root/own", "sticky": "sticky", "sticky/own": "sticky/own",
		"link": "sticky/own", "absolute": "sticky/own", "39": "root", "": "",
	} {
		if real, err := trusted.Directory(b.root+"/"+path, owner, trusted.NoGroup); err != nil || real != filepath.Join(b.root, want) {
			t.Errorf("Directory(%s) = %s, %v, want %s", path, real, err, want)
		}
	}
	if real, err := trusted.Directory(b.root+"/group", owner, trusted.Group); err != nil || real != b.root+"/group" {
		t.Errorf("a group's, where it may be = %s, %v", real, err)
	}
	b.link("40", 0, "39")
	if _, err := trusted.Directory(b.root+"/40", owner, trusted.NoGroup); err == nil {
		t.Error("41 links were followed")
	}
	if _, err := trusted.Directory(b.root+"/root/none/x", owner, trusted.NoGroup); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there = %v, want ErrNotExist", err)
	}
	t.Chdir(b.root)
	if real, err := trusted.Directory("link", owner, trusted.NoGroup); err != nil || real != b.root+"/sticky/own" {
		t.Errorf("a relative path = %s, %v", real, err)
	}
}

// builder makes directories and links below root.
type builder struct {
	*testing.T
	root string
}

func (b *builder) dir(name string, uid int, mode fs.FileMode) {
	b.Helper()
	path := filepath.Join(b.root, name)
	b.must(os.Mkdir(path, 0o700))
	b.must(os.Chown(path, uid, 0))
	b.must(os.Chmod(path, mode))
}

func (b *builder) link(name string, uid int, target string) {
	b.Helper()
	path := filepath.Join(b.root, name)
	b.must(os.Symlink(target, path))
	b.must(os.Lchown(path, uid, 0))
}

func (b *builder) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
