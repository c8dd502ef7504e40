package qmp

// maxGreeting bounds QEMU's first line, in bytes; that of 7.2 from Debian has 140.
const maxGreeting = 4 << 10

// greeting is what QEMU says first.
type greeting struct {
	version      Version
	capabilities []string
}

func (p *parser) greeting() (*greeting, error) {
	g := new(greeting)
	return g, p.object(func(name string) error {
		switch name {
		case "version":
			return p.version(&g.version)
		case "capabilities":
			return p.array(func() error {
				capability, err := p.text(name)
				g.capabilities = append(g.capabilities, capability)
				return err
			})
		}
		return p.decoder.SkipValue()
	})
}

func (p *parser) version(v *Version) error {
	return p.object(func(name string) (err error) {
		switch name {
		case "qemu":
			err = p.object(func(name string) error {
				n, err := p.integer(name)
				switch name {
				case "major":
					v.Major = int(n)
				case "minor":
					v.Minor = int(n)
				case "micro":
					v.Micro = int(n)
				}
				return err
			})
		case "package":
			v.Package, err = p.text(name)
		default:
			err = p.decoder.SkipValue()
		}
		return err
	})
}
