package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/account"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/bridge/policytext"
)

// policyCommand is `policy`: what an administrator wants to know about policies, without a QEMU or a bus.
type policyCommand struct {
	Show    policyShow    `cmd:"" help:"Print the built-in policy, or an example."`
	Check   policyCheck   `cmd:"" help:"Find what is wrong with policy files."`
	Explain policyExplain `cmd:"" help:"Print what would be decided about a call, and why."`
}

// policyShow is `policy show`.
type policyShow struct {
	Classes bool   `help:"Print which class each command and event has instead: CLASS, tab, NAME."`
	Example string `arg:"" optional:"" help:"Instead of the built-in policy, one of the examples: ${examples}."`
}

// Run prints a policy, or the classes that policies speak of.
func (c *policyShow) Run(context.Context) error {
	text := policytext.Builtin()
	switch {
	case c.Classes && c.Example != "":
		return errors.New("--classes: leave out the example, or this")
	case c.Classes:
		text = action.ClassTable()
	case c.Example != "":
		var err error
		if text, err = policytext.Example(c.Example); err != nil {
			return err
		}
	}
	_, err := os.Stdout.WriteString(text)
	return err
}

// policyFlags are those of a bridge that its policy depends on.
type policyFlags struct {
	Grant      []string `placeholder:"ROLE=SUBJECT" sep:"none" help:"A role that the bridge gives to uid:N, gid:N, user:NAME or group:NAME. Repeatable."`
	BridgeUser string   `placeholder:"USER" help:"The user (a name or uid) that the bridge runs as. Default: ours, ${uid}."`
	QEMUUser   string   `name:"qemu-user" placeholder:"USER" help:"QEMU's own user (a name or uid), which may not call the bridge."`
	Name       string   `placeholder:"NAME" help:"The VM's name. Default: vm."`

	grants       []access.Grant // of Grant
	bridge, qemu *uint32        // of BridgeUser and QEMUUser; nil if not given
}

// AfterApply finds the mistakes that the parser can't see; it calls this.
func (f *policyFlags) AfterApply() (err error) {
	if f.grants, err = parseGrants(f.Grant); err != nil {
		return err
	}
	return accounts{
		{"--bridge-user", f.BridgeUser, account.ParseUser, &f.bridge},
		{"--qemu-user", f.QEMUUser, account.ParseUser, &f.qemu},
	}.resolve()
}

// authorizer reads the policy as a bridge with these flags would.
func (f *policyFlags) authorizer(files []string) (*access.Authorizer, error) {
	return access.New(access.Config{VM: cmp.Or(f.Name, "vm"), BridgeUID: f.bridgeUID(), Grants: f.grants, Files: files, QEMU: f.qemu})
}

// bridgeUID is whom the bridge is taken to run as.
func (f *policyFlags) bridgeUID() uint32 {
	if f.bridge != nil {
		return *f.bridge
	}
	return uint32(os.Geteuid())
}

// policyFault says which flag an error of access.New is about.
func policyFault(err error) error {
	if _, ok := errors.AsType[policytext.Problems](err); ok {
		return fmt.Errorf("--policy: %w", err)
	}
	return fmt.Errorf("--grant %w", err)
}

func parseGrants(texts []string) ([]access.Grant, error) {
	var grants []access.Grant
	for _, text := range texts {
		grant, err := access.ParseGrant(text)
		if err != nil {
			return nil, fmt.Errorf("--grant %w", err)
		}
		grants = append(grants, grant)
	}
	return grants, nil
}

// policyCheck is `policy check`.
type policyCheck struct {
	policyFlags `embed:""`

	Files []string `arg:"" name:"file" help:"Policy files, in the order in which the bridge gets them."`
}

// Run checks the files as the bridge does, and besides for what can't be meant. Each problem is a line on standard
// error.
func (c *policyCheck) Run(context.Context) error {
	policy, err := c.authorizer(c.Files)
	if err == nil {
		if useless := policy.Unreachable(len(c.Grant) > 0); len(useless) > 0 {
			err = useless
		}
	}
	if problems, ok := errors.AsType[policytext.Problems](err); ok {
		return cmp.Or(tell(problems), error(&exitError{exitFailed}))
	}
	if err != nil {
		return err
	}
	if c.Name != "" {
		if err := tell(policy.Elsewhere()); err != nil {
			return err
		}
	}
	ok := fmt.Sprintf("ok: %d policies with the built-in ones, hash %s", policy.Policies(), policy.Hash())
	if len(c.Grant) == 0 {
		ok += "; give the bridge's --grant too to find policies for callers that can't connect"
	}
	_, err = fmt.Println(ok)
	return err
}

// tell prints problems, one a line.
func tell(problems policytext.Problems) error {
	for _, problem := range problems {
		if _, err := fmt.Fprintln(os.Stderr, problem); err != nil {
			return err
		}
	}
	return nil
}
