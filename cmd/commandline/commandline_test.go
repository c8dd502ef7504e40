package commandline_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/cmd/commandline"
)

// drawing is a program with one of everything.
type drawing struct {
	Draw  drawCommand `cmd:"" help:"Draw."`
	Paper paperGroup  `cmd:"" help:"About paper."`
}

type paperGroup struct {
	List listCommand `cmd:"" help:"List what there is."`
	Wrap wrapCommand `cmd:"" help:"Run something in it."`
}

type drawCommand struct {
	pens `embed:""`

	Wait  time.Duration `default:"30s" help:"How long."`
	Names []string      `placeholder:"NAME" help:"Names. Repeatable."`
	Sizes []uint32      `name:"size" placeholder:"N" help:"Sizes. Repeatable."`
	Dry   bool          `help:"Draw nothing."`
	Glue  glue          `help:"Stick it on."`
	Where string        `arg:"" help:"Where to."`
	What  string        `arg:"" optional:"" default:"${shape}" help:"What; a ${shape} costs 5 $$."`
}

type pens struct {
	LineColour string `enum:"red,blue" default:"red" placeholder:"COLOUR" help:"Which pen."`
	Width      uint32 `required:"" placeholder:"N" help:"How wide."`
	Left       string `xor:"side" placeholder:"X" help:"A side."`
	Right      string `xor:"side" placeholder:"X" help:"The other."`

	checked string
}

type glue struct{ how string }

func (g *glue) Set(how string, given bool) error {
	switch {
	case !given:
		g.how = "any"
	case how == "":
		return errors.New("an empty pot")
	default:
		g.how = how
	}
	return nil
}

func (c *drawCommand) Check() error {
	if c.checked = "yes"; c.Where == "nowhere" {
		return errors.New("there is no such place")
	}
	return nil
}

func (*drawCommand) Run(context.Context) error { return nil }

type listCommand struct {
	Files []string `arg:"" name:"file" help:"Files."`
}

func (*listCommand) Run(context.Context) error { return nil }

type wrapCommand struct {
	Sheets uint32   `default:"1" help:"How many."`
	Line   []string `arg:"" passthrough:"" name:"line" help:"What is run."`
}

func (*wrapCommand) Run(context.Context) error { return nil }

var program = commandline.Program{
	Name: "draw", Help: "Draws.", Version: "v1", Vars: map[string]string{"shape": "circle"},
}

func TestParse(t *testing.T) {
	draw := func(c drawCommand) *drawCommand {
		c.checked = "yes"
		if c.LineColour == "" {
			c.LineColour = "red"
		}
		if c.Wait == 0 {
			c.Wait = 30 * time.Second
		}
		if c.What == "" {
			c.What = "circle"
		}
		return &c
	}
	for line, want := range map[string]commandline.Command{
		"draw --width 2 here":                             draw(drawCommand{pens: pens{Width: 2}, Where: "here"}),
		"draw here --width=2 --dry square":                draw(drawCommand{pens: pens{Width: 2}, Where: "here", What: "square", Dry: true}),
		"draw --width=2 --dry=false --glue here":          draw(drawCommand{pens: pens{Width: 2}, Where: "here", Glue: glue{"any"}}),
		"draw --width=2 --width 3 --glue=paste here":      draw(drawCommand{pens: pens{Width: 3}, Where: "here", Glue: glue{"paste"}}),
		"draw --names a --names=b,c --width 4294967295 x": draw(drawCommand{pens: pens{Width: 4294967295}, Where: "x", Names: []string{"a", "b,c"}}),
		"draw --size 1 --size=0 --width=0 --wait 2m x":    draw(drawCommand{Where: "x", Sizes: []uint32{1, 0}, Wait: 2 * time.Minute}),
		"draw --line-colour=blue --left= --width=1 -- -x": draw(drawCommand{pens: pens{Width: 1, LineColour: "blue"}, Where: "-x"}),
		"draw --left - --width=1 x":                       draw(drawCommand{pens: pens{Width: 1, Left: "-"}, Where: "x"}),
		"draw --left=--right --width=1 -":                 draw(drawCommand{pens: pens{Width: 1, Left: "--right"}, Where: "-"}),
		"paper list a b":                                  &listCommand{Files: []string{"a", "b"}},
		"paper list a -- --b --":                          &listCommand{Files: []string{"a", "--b", "--"}},
		"paper wrap --sheets 2 -- --sheets 3":             &wrapCommand{Sheets: 2, Line: []string{"--", "--sheets", "3"}},
		"paper wrap ls --sheets 3 -- --help":              &wrapCommand{Sheets: 1, Line: []string{"ls", "--sheets", "3", "--", "--help"}},
		"paper wrap --colour -x":                          &wrapCommand{Sheets: 1, Line: []string{"--colour", "-x"}},
	} {
		got, err := program.Parse(new(drawing), strings.Fields(line))
		if diff := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" || err != nil {
			t.Errorf("Parse(%s): %v, (-want +got)\n%s", line, err, diff)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	for line, want := range map[string]commandline.Error{
		"":                         {"", errors.New(`expected one of "draw", "paper"`)},
		"drow":                     {"", errors.New(`unexpected argument drow, did you mean "draw"?`)},
		"erase":                    {"", errors.New(`unexpected argument erase`)},
		"--dry":                    {"", errors.New(`unknown flag --dry`)},
		"paper":                    {"paper", errors.New(`expected one of "list", "wrap"`)},
		"paper list":               {"paper list", errors.New(`expected "<file> ..."`)},
		"paper wrap":               {"paper wrap", errors.New(`expected "<line> ..."`)},
		"draw x":                   {"draw", errors.New(`missing flags: --width=N`)},
		"draw --width=1":           {"draw", errors.New(`expected "<where>"`)},
		"draw --width=1 x y z":     {"draw", errors.New(`unexpected argument z`)},
		"draw --width":             {"draw", errors.New(`--width: want a value`)},
		"draw --width --dry":       {"draw", errors.New(`--width: want a value, not "--dry"; if that is one: --width=--dry`)},
		"draw --width=4294967296":  {"draw", errors.New(`--width: want a number from 0 to 4294967295, not "4294967296"`)},
		"draw --width=-1":          {"draw", errors.New(`--width: want a number from 0 to 4294967295, not "-1"`)},
		"draw --size=":             {"draw", errors.New(`--size: want a number from 0 to 4294967295, not ""`)},
		"draw --wait 3":            {"draw", errors.New(`--wait: want a time like 30s or 2m, not "3"`)},
		"draw --dry=perhaps":       {"draw", errors.New(`--dry: want true or false, not "perhaps"`)},
		"draw --line-colour green": {"draw", errors.New(`--line-colour: want one of "red", "blue", not "green"`)},
		"draw --glue=":             {"draw", errors.New(`--glue: an empty pot`)},
		"draw --widh=1":            {"draw", errors.New(`unknown flag --widh, did you mean "--width"?`)},
		"draw -w":                  {"draw", errors.New(`unknown flag -w`)},
		"draw -width=1":            {"draw", errors.New(`unknown flag -width, did you mean "--width"?`)},
		"draw --left=a --right=b":  {"draw", errors.New(`--left and --right can't be used together`)},
		"draw --width=1 nowhere":   {"draw", errors.New(`there is no such place`)},
	} {
		_, err := program.Parse(new(drawing), strings.Fields(line))
		got, ok := errors.AsType[*commandline.Error](err)
		if !ok || got.Command != want.Command || got.Error() != want.Error() {
			t.Errorf("Parse(%s): %v, want %v", line, err, want.Err)
		}
	}
}

func TestHelp(t *testing.T) {
	for line, want := range map[string]string{
		"--version": "v1\n", "draw --version=1": "v1\n",
		"-h": `Usage: draw <command> [flags]

Draws.

Flags:
  -h, --help       Print this help and exit.
      --version    Print the version and exit.

Commands:
  draw --width=N <where> [<what>] [flags]
    Draw.

  paper list <file> ... [flags]
    List what there is.

  paper wrap <line> ... [flags]
    Run something in it.
`,
		"paper --help": `Usage: draw paper <command> [flags]

About paper.

Flags:
  -h, --help       Print this help and exit.
      --version    Print the version and exit.

Commands:
  paper list <file> ... [flags]
    List what there is.

  paper wrap <line> ... [flags]
    Run something in it.
`,
		"draw --dry --help --no-such-flag": `Usage: draw draw --width=N <where> [<what>] [flags]

Draw.

Arguments:
  <where>     Where to.
  [<what>]    What; a circle costs 5 $.

Flags:
  -h, --help                  Print this help and exit.
      --version               Print the version and exit.
      --line-colour=COLOUR    Which pen.
      --width=N               How wide.
      --left=X                A side.
      --right=X               The other.
      --wait=30s              How long.
      --names=NAME            Names. Repeatable.
      --size=N                Sizes. Repeatable.
      --dry                   Draw nothing.
      --glue                  Stick it on.
`,
	} {
		got, err := program.Parse(new(drawing), strings.Fields(line))
		if diff := cmp.Diff(want, printed(t, got)); diff != "" || err != nil {
			t.Errorf("%s: %v, (-want +got)\n%s", line, err, diff)
		}
	}
}

// TestHelpIsWrapped is that lines end before column 80, and that a long flag has a line of its own.
func TestHelpIsWrapped(t *testing.T) {
	type root struct {
		Short    string `placeholder:"X" help:"A sentence that has so many words that they go on and on, past the end of one line, and of a second one."`
		VeryLong string `name:"a-flag-with-a-name-that-is-long" placeholder:"X" help:"Its help is below."`
	}
	got, err := program.Parse(new(root), []string{"--help"})
	if err != nil {
		t.Fatal(err)
	}
	want := `Usage: draw [flags]

Draws.

Flags:
  -h, --help       Print this help and exit.
      --version    Print the version and exit.
      --short=X    A sentence that has so many words that they go on and on,
                   past the end of one line, and of a second one.
      --a-flag-with-a-name-that-is-long=X
                   Its help is below.
`
	if diff := cmp.Diff(want, printed(t, got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// printed is what a command that prints would.
func printed(t *testing.T, c commandline.Command) string {
	t.Helper()
	if v := reflect.ValueOf(c); v.IsValid() && v.Kind() == reflect.String {
		return v.String()
	}
	t.Errorf("%T prints nothing", c)
	return ""
}
