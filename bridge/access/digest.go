package access

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// digest makes the hash of a policy; see Authorizer.Hash. The text is one that sha256sum and echo make too.
type digest struct{ lines strings.Builder }

func (d *digest) file(text string) { d.line(sum(text)) }

func (d *digest) grant(g Grant) { d.line(g.String()) }

func (d *digest) line(text string) { d.lines.WriteString(text + "\n") }

func (d *digest) sum() string { return sum(d.lines.String()) }

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}
