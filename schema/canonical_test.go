package schema_test

import (
	"errors"
	"strings"
	"testing"

	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "{}",
		" { } ":                               "{}",
		"{\n\t\"b\" : [ 1 , 2.50 ],\"a\":{}}": `{"b":[1,2.50],"a":{}}`,
		`{"a":18446744073709551615,"b":-0}`:   `{"a":18446744073709551615,"b":-0}`,
		`{"a":-9223372036854775808}`:          `{"a":-9223372036854775808}`,
		`{"a":"\u00e9\/\u0001\ud83d\ude00"}`:  `{"a":"é/\u0001😀"}`,
		`{"a":"\u0000"}`:                      `{"a":"\u0000"}`,
		`{"a":1E5,"b":0.1e+2}`:                `{"a":1E5,"b":0.1e+2}`,
		`{"A":1,"a":2}`:                       `{"A":1,"a":2}`,
		`{"a":"\\ufffe"}`:                     `{"a":"\\ufffe"}`,
	} {
		got, err := schema.Canonical([]byte("# "), []byte(in), "cmd")
		if string(got) != "# "+want || err != nil {
			t.Errorf("Canonical(%s) = %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestCanonicalErrors(t *testing.T) {
	for in, path := range map[string]string{
		" ":                           "cmd",
		"[]":                          "cmd",
		`"a"`:                         "cmd",
		"null":                        "cmd",
		"{} {}":                       "cmd",
		"{}x":                         "cmd",
		"{}\x00":                      "cmd",
		`{"a":{"b":1,"b":2}}`:         "cmd.a.b",
		`{"a":{"b":1,"\u0062":2}}`:    "cmd.a.b",
		`{"a":[1,"\ufffe"]}`:          "cmd.a[1]",
		"{\"a\":[\"\ufffe\"]}":        "cmd.a[0]",
		`{"a":"\ud83f\udffe"}`:        "cmd.a",
		`{"\ufdd0":1}`:                "cmd.\ufdd0",
		`{"a":"\ud800"}`:              "cmd.a",
		"{\"a\":\"\xff\"}":            "cmd.a",
		"{\"a\":\"\xc0\x80\"}":        "cmd.a",
		"{\"a\":\"\xed\xa0\x80\"}":    "cmd.a",
		"{\"a\":\"\n\"}":              "cmd.a",
		`{"a":1e999}`:                 "cmd.a",
		`{"a":[0,-1e999]}`:            "cmd.a[1]",
		`{"a":18446744073709551616}`:  "cmd.a",
		`{"a":-9223372036854775809}`:  "cmd.a",
		`{"a":01}`:                    "cmd",
		`{"a":NaN}`:                   "cmd.a",
		`{'a':1}`:                     "cmd",
		`{"a":1,}`:                    "cmd",
		`{"a" 1}`:                     "cmd.a",
		`{"a":{"b":[{"c":tru}]}}`:     "cmd.a.b[0].c",
		`{"a":`:                       "cmd.a",
		strings.Repeat(`{"a":`, 9999): "cmd" + strings.Repeat(".a", 64) + "...",
	} {
		got, err := schema.Canonical([]byte("dst"), []byte(in), "cmd")
		argument, ok := errors.AsType[*schema.ArgumentError](err)
		if !ok || argument.Path != path {
			t.Errorf("Canonical(%.50q) = %.200v, want an ArgumentError at %.50s", in, err, path)
		}
		if string(got) != "dst" {
			t.Errorf("Canonical(%.50q) leaves %.50q", in, got)
		}
	}
}

// nested gives an object with n levels.
func nested(n int) string {
	return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
}

func TestCanonicalLimits(t *testing.T) {
	skipHuge(t)
	const (
		levels = 1024 - 8
		bytes  = 64<<20 - 1<<10
		tokens = 2<<20 - 64
	)
	text := strings.Repeat("x", bytes)
	// An object with an array is 5 tokens, counted twice, and so is each number.
	numbers := `{"a":[0` + strings.Repeat(",0", tokens) + "]}"
	list := func(n int) string { return numbers[:len(`{"a":[`)+2*n-1] + "]}" }
	for _, test := range []struct {
		what string
		json string
		ok   bool
	}{
		{"levels", nested(levels), true},
		{"levels", nested(levels + 1), false},
		{"levels", nested(9999), false},
		{"bytes", `{"a":"` + text[:bytes-8] + `"}`, true},
		{"bytes", `{"a":"` + text[:bytes-7] + `"}`, false},
		{"tokens", list(tokens/2 - 5), true},
		{"tokens", list(tokens/2 - 4), false},
	} {
		_, err := schema.Canonical(nil, []byte(test.json), "cmd")
		if test.ok != (err == nil) || !test.ok && !errors.Is(err, wire.ErrLimit) {
			t.Errorf("%d bytes at the limit of %s: %v, want success %v", len(test.json), test.what, err, test.ok)
		}
	}
}
