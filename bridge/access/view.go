package access

import (
	"slices"
)

// View is a caller as the policies see it.
type View struct {
	Principal  string   // Caller::":1.5"
	Attributes string   // a Cedar record: {"uid":1000}
	In         []string // its user, groups and roles
	Resource   string   // VM::"vm"
}

// View shows a caller as this Authorizer sees it, for whoever wants to know why it decides so.
func (a *Authorizer) View(caller *Caller) View {
	p := a.principal(caller)
	view := View{
		Principal:  string(p.entity.UID.MarshalCedar()),
		Attributes: string(p.entity.Attributes.MarshalCedar()),
		Resource:   string(a.resource.MarshalCedar()),
	}
	for parent := range p.entity.Parents.All() {
		view.In = append(view.In, string(parent.MarshalCedar()))
	}
	slices.Sort(view.In)
	return view
}
