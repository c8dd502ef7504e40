// Package policytext reads policies, in the Cedar language, and finds in their text what is wrong with them.
//
//	statements, problems := policytext.Parse("vm7.cedar", text)
//	for _, s := range statements {
//		problems = append(problems, s.Check()...)
//	}
//
// Each Problem is at a line and column of its file. Parse finds what is no Cedar; Check what can't be meant: words that mean
// nothing here (vocabulary.go), relations that never hold (wording.go), values of a kind that can't be evaluated where they
// stand (typecheck.go), looks at what a call may not have without asking (guard.go). Cedar's syntax tree keeps no places, so
// what is found in the tree is looked for among the tokens of the text (token.go).
//
// The package also has the texts that come with the program: the built-in policy, with the roles that it gives rights to,
// and examples. Package access evaluates policies.
//
// A policy has at most 8192 words. How large a file is, and how many policies there are, is up to who reads them.
package policytext
