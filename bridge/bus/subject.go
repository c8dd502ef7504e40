package bus

import "slices"

// Subjects are users and groups by number. The zero value is nobody.
type Subjects struct{ UIDs, GIDs []uint32 }

// Add returns s with one more user or, if group is set, group.
func (s Subjects) Add(group bool, id uint32) Subjects {
	if group {
		return Subjects{s.UIDs, append(slices.Clip(s.GIDs), id)}
	}
	return Subjects{append(slices.Clip(s.UIDs), id), s.GIDs}
}

// each calls rules for each of s, with the attribute of a policy element that is for it:
// groups first, as the buses weigh them.
func (s Subjects) each(rules func(kind string, id uint32)) {
	for _, gid := range unique(s.GIDs) {
		rules("group", gid)
	}
	for _, uid := range unique(s.UIDs) {
		rules("user", uid)
	}
}

func unique(ids []uint32) []uint32 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}
