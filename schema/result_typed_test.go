package schema_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

func TestEncodeVariantTyped(t *testing.T) {
	for _, test := range []struct{ typ, json, want, misfit string }{
		{"str", `"a"`, `{"type":"s","data":"a"}`, ""},
		{"str", `1`, `{"type":"x","data":1}`, "cmd: expected string, got int"},
		{"enum(a)", `null`, `{"type":"g","data":""}`, "cmd: expected string, got null"},
		{"int", `-9223372036854775808`, `{"type":"x","data":-9223372036854775808}`, ""},
		{"int", `9223372036854775808`, `{"type":"t","data":9223372036854775808}`, ""},
		{"int", `18446744073709551616`, `{"type":"d","data":1.8446744073709552e+19}`, "cmd: expected int, got number"},
		{"int", `1.5`, `{"type":"d","data":1.5}`, "cmd: expected int, got number"},
		{"int", `"1"`, `{"type":"s","data":"1"}`, "cmd: expected int, got string"},
		{"number", `7`, `{"type":"d","data":7}`, ""},
		{"number", `1e2`, `{"type":"d","data":100}`, ""},
		{"number", `true`, `{"type":"b","data":true}`, "cmd: expected number, got bool"},
		{"bool", `[]`, `{"type":"av","data":[]}`, "cmd: expected bool, got array"},
		{"null", `null`, `{"type":"g","data":""}`, ""},
		{"null", `0`, `{"type":"x","data":0}`, "cmd: expected null, got int"},
		{"any", `[1]`, `{"type":"av","data":[{"type":"x","data":1}]}`, ""},
		{"[str]", `[]`, `{"type":"as","data":[]}`, ""},
		{"[str]", `["a","b"]`, `{"type":"as","data":["a","b"]}`, ""},
		{"[str]", `["a",1]`, `{"type":"av","data":[{"type":"s","data":"a"},{"type":"x","data":1}]}`, "cmd[1]: expected string, got int"},
		{"[str]", `{}`, `{"type":"a{sv}","data":{}}`, "cmd: expected array, got object"},
		{"[any]", `["a",1]`, `{"type":"av","data":[{"type":"s","data":"a"},{"type":"x","data":1}]}`, ""},
		{"[null]", `[null]`, `{"type":"av","data":[{"type":"g","data":""}]}`, ""},
		{"[[str]]", `[["a"],[]]`, `{"type":"aas","data":[["a"],[]]}`, ""},
		{"[[str]]", `[["a"],[1]]`, `{"type":"av","data":[{"type":"as","data":["a"]},{"type":"av","data":[{"type":"x","data":1}]}]}`, "cmd[1][0]: expected string, got int"},
		{"[number]", `[1,0.5]`, `{"type":"ad","data":[1,0.5]}`, ""},
		{"[int]", `[1,-1]`, `{"type":"ax","data":[1,-1]}`, ""},
		{"[int]", `[0,9223372036854775808]`, `{"type":"at","data":[0,9223372036854775808]}`, ""},
		{"[int]", `[-1,9223372036854775808]`, `{"type":"av","data":[{"type":"x","data":-1},{"type":"t","data":9223372036854775808}]}`, ""},
		{"[int]", `[1,1.5]`, `{"type":"av","data":[{"type":"x","data":1},{"type":"d","data":1.5}]}`, "cmd[1]: expected int, got number"},
		{"[object{}]", `[{},{}]`, `{"type":"aa{sv}","data":[{},{}]}`, ""},
		{"alternate(str|null)", `null`, `{"type":"g","data":""}`, ""},
		{"alternate(str|null)", `1`, `{"type":"x","data":1}`, "cmd: expected string or null, got int"},
		{"alternate(number|bool)", `1`, `{"type":"d","data":1}`, ""},
		{"alternate(int|number)", `1`, `{"type":"x","data":1}`, ""},
		{"alternate(int|number)", `1.0`, `{"type":"d","data":1}`, ""},
		{"alternate(enum(a)|object{})", `"b"`, `{"type":"s","data":"b"}`, ""},
		{"alternate(int|bool|[int])", `[3]`, `{"type":"ax","data":[3]}`, ""},
		{"object{a:number,b?:[bool]}", `{"b":[],"a":1}`, `{"type":"a{sv}","data":{"a":{"type":"d","data":1},"b":{"type":"ab","data":[]}}}`, ""},
		{"object{a:str}", `{"b":{"c":1}}`, `{"type":"a{sv}","data":{"b":{"type":"a{sv}","data":{"c":{"type":"x","data":1}}}}}`, "cmd: unknown member"},
		{"object{a:[object{b:int}]}", `{"a":[{"b":1},{"b":""}]}`, `{"type":"a{sv}","data":{"a":{"type":"aa{sv}","data":[{"b":{"type":"x","data":1}},{"b":{"type":"s","data":""}}]}}}`, "cmd.a[1].b: expected int, got string"},
		{"object{}", `{}`, `{"type":"a{sv}","data":{}}`, ""},
	} {
		command := tableOf(t, "cmd", "object{}", test.typ).Command("cmd")
		d := body(t, "v", func(e *wire.Encoder) {
			m, err := command.EncodeVariant(e, []byte(test.json))
			if err != nil || m.First != test.misfit || (m.Count > 0) != (test.misfit != "") {
				t.Errorf("EncodeVariant(%s) of %s: %v, %v, want %q", test.json, test.typ, m, err, test.misfit)
			}
		})
		if diff := cmp.Diff(unmarshal[any](t, []byte(test.want)), decodeTyped(d)); diff != "" {
			t.Errorf("EncodeVariant(%s) of %s (-want +got):\n%s", test.json, test.typ, diff)
		}
	}
}

// The whole reply has to have the signature; in variants everything can go.
func TestEncodeResult(t *testing.T) {
	for _, test := range []struct{ typ, json, signature, want, misfit string }{
		{"[str]", `["a"]`, "as", `["a"]`, ""},
		{"int", `18446744073709551615`, "x", "", "cmd: expected int, got int"},
		{"[str]", `["a",1]`, "as", "", "cmd[1]: expected string, got int"},
		{"[object{}]", `null`, "aa{sv}", "", "cmd: expected array, got null"},
		{"[object{}]", `[{"a":1}]`, "aa{sv}", `[{"a":{"type":"x","data":1}}]`, "cmd[0]: unknown member"},
		{"object{}", `{}`, "", "", ""},
		{"object{}", `{"a":1}`, "", "", "cmd: unknown member"},
		{"object{a:str}", `{"a":1}`, "a{sv}", `{"a":{"type":"x","data":1}}`, "cmd.a: expected string, got int"},
		{"any", `5`, "v", `{"type":"x","data":5}`, ""},
		{"alternate(str|null)", `null`, "v", `{"type":"g","data":""}`, ""},
	} {
		command := tableOf(t, "cmd", "object{}", test.typ).Command("cmd")
		if got := command.OutSignature(); got != test.signature {
			t.Errorf("%s has signature %s, want %s", test.typ, got, test.signature)
		}
		var e wire.Encoder
		e.Reset()
		m, err := command.EncodeResult(&e, []byte(test.json))
		if misfit := test.want == "" && test.signature != ""; misfit != errors.Is(err, schema.ErrMisfit) || misfit && e.Len() > 0 {
			t.Errorf("EncodeResult(%s) of %s: %v, %d bytes", test.json, test.typ, err, e.Len())
		}
		if m.First != test.misfit {
			t.Errorf("EncodeResult(%s) of %s: %v, want %q", test.json, test.typ, m, test.misfit)
		}
		if test.want == "" {
			continue
		}
		d := body(t, test.signature, func(e *wire.Encoder) { _, _ = command.EncodeResult(e, []byte(test.json)) })
		if diff := cmp.Diff(unmarshal[any](t, []byte(test.want)), decodeTyped(d)); diff != "" {
			t.Errorf("EncodeResult(%s) of %s (-want +got):\n%s", test.json, test.typ, diff)
		}
	}
}

// Members come in the order of the schema, a union's branch after its own, then
// what the schema doesn't have, sorted.
func TestMemberOrder(t *testing.T) {
	table := benchTable(t)
	for _, test := range []struct {
		command, json string
		want          []string
	}{
		{"query-status", `{"zz":1,"status":"running","aa":2,"running":true}`, []string{"running", "status", "aa", "zz"}},
		{"query-display-options", `{"window-close":true,"grab-on-hover":true,"type":"gtk","zoom-to-fit":true,"gl":"on"}`, []string{"type", "window-close", "gl", "grab-on-hover", "zoom-to-fit"}},
		{"query-display-options", `{"zoom-to-fit":true,"type":"none","gl":"on"}`, []string{"type", "gl", "zoom-to-fit"}},
		{"query-display-options", `{"zoom-to-fit":true,"gl":"on"}`, []string{"gl", "zoom-to-fit"}},
		{"query-display-options", `{"zoom-to-fit":true,"type":7,"gl":"on"}`, []string{"type", "gl", "zoom-to-fit"}},
		{"query-status", `{"status":"a","running":true,"status":"b"}`, []string{"running", "status"}},
	} {
		d := body(t, "a{sv}", func(e *wire.Encoder) {
			if _, err := table.Command(test.command).EncodeResult(e, []byte(test.json)); err != nil {
				t.Error(err)
			}
		})
		if got := dictKeys(d); !slices.Equal(got, test.want) {
			t.Errorf("%s of %s has keys %q, want %q", test.json, test.command, got, test.want)
		}
	}
}

// query-block goes with a backing chain of 16 images. The last one's
// format-specific data is 61 levels deep, each image is three, wire.MaxSendDepth
// are 63.
func TestBackingChain(t *testing.T) {
	const (
		info = `{"format":"qcow2","filename":"a","virtual-size":1,"format-specific":{"type":"qcow2","data":{"compat":"1.1"}}`
		most = 16
	)
	table := benchTable(t)
	for n, ok := range map[int]bool{most: true, most + 1: false} {
		image := strings.Repeat(info+`,"backing-image":`, n-1) + info + strings.Repeat("}", n)
		var e wire.Encoder
		e.Reset()
		m, err := table.Command("query-block").EncodeResult(&e, []byte(`[{"inserted":{"image":`+image+`}}]`))
		if ok != (err == nil) || !ok && !errors.Is(err, wire.ErrLimit) || m.Count > 0 {
			t.Errorf("%d images: %v, %v", n, m, err)
		}
	}
}

func TestEncodeEvent(t *testing.T) {
	table := benchTable(t)
	for _, test := range []struct{ event, json, want, misfit string }{
		{"STOP", ``, `{}`, ""},
		{"STOP", `{}`, `{}`, ""},
		{"RTC_CHANGE", `{"qom-path":"/a","offset":1}`, `{"offset":{"type":"x","data":1},"qom-path":{"type":"s","data":"/a"}}`, ""},
		{"RTC_CHANGE", `{"offset":"1"}`, `{"offset":{"type":"s","data":"1"}}`, "RTC_CHANGE.offset: expected int, got string"},
		{"UNKNOWN", `{"b":1}`, `{"b":{"type":"x","data":1}}`, ""},
		{"STOP", `7`, `{"data":{"type":"x","data":7}}`, "STOP: expected object, got int"},
		{"UNKNOWN", `[]`, `{"data":{"type":"av","data":[]}}`, "UNKNOWN: expected object, got array"},
	} {
		d := body(t, "a{sv}", func(e *wire.Encoder) {
			m, err := table.EncodeEvent(e, test.event, []byte(test.json))
			if err != nil || m.First != test.misfit {
				t.Errorf("EncodeEvent(%s, %s): %v, %v, want %q", test.event, test.json, m, err, test.misfit)
			}
		})
		if diff := cmp.Diff(unmarshal[any](t, []byte(test.want)), decodeTyped(d)); diff != "" {
			t.Errorf("EncodeEvent(%s, %s) (-want +got):\n%s", test.event, test.json, diff)
		}
	}
	var e wire.Encoder
	e.Reset()
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	if _, err := table.EncodeEvent(&e, "STOP", []byte(`{"a":`+deep+`}`)); !errors.Is(err, wire.ErrLimit) {
		t.Errorf("a deep event: %v", err)
	}
}

// Nothing is allocated for each value of a typed reply or call.
func TestAllocationsTyped(t *testing.T) {
	const most = 64 // as in TestAllocations
	table := mirrorTable(t)
	for _, r := range replies(t) {
		mirror := table.Command("mirror-" + r.command)
		var e wire.Encoder
		if got := testing.AllocsPerRun(10, func() {
			e.Reset()
			if _, err := mirror.EncodeResult(&e, r.json); err != nil {
				t.Fatal(err)
			}
		}); got > most {
			t.Errorf("EncodeResult of %s: %v allocations", r.command, got)
		}
		dst := make([]byte, 0, 2*len(r.json)+100)
		d := body(t, mirror.OutSignature(), func(e *wire.Encoder) { _, _ = mirror.EncodeResult(e, r.json) })
		if got := testing.AllocsPerRun(10, func() {
			from := *d
			if _, err := mirror.AppendArguments(dst, &from, mirror.OutSignature(), nil); err != nil {
				t.Fatal(err)
			}
		}); got > most {
			t.Errorf("AppendArguments of %s: %v allocations", r.command, got)
		}
	}
}
