package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"qmp-dbus-bridge/bridge"
	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
)

// policyExplain is `policy explain`: what would be decided about a call, and why.
type policyExplain struct {
	policyFlags `embed:""`

	Policy   []string `placeholder:"FILE" sep:"none" help:"Policy files, in the order in which the bridge gets them. Repeatable."`
	UID      uint32   `name:"uid" required:"" placeholder:"N" help:"The caller's uid."`
	GID      []uint32 `name:"gid" sep:"none" placeholder:"N" help:"A group of the caller's. Repeatable."`
	Label    string   `placeholder:"LABEL" help:"The caller's security label."`
	BusNames []string `name:"bus-name" sep:"none" placeholder:"NAME" help:"A name that the caller owns on the bus. Repeatable."`

	Action    string `arg:"" help:"A QMP command, or event:NAME, read-properties, introspect, subscribe."`
	Arguments string `arg:"" optional:"" help:"The command's arguments, a JSON object."`
}

// explainedName stands for the unique name that a bus would give the caller.
const explainedName = ":1.0"

// otherActions are what can be asked for that is no command.
var otherActions = map[string]action.Action{
	"read-properties": action.ReadProperties(), "introspect": action.Introspect(), "subscribe": action.Subscribe(),
}

// Run prints what is decided. The exit status is 0 whatever that is.
func (c *policyExplain) Run(context.Context) error {
	rules, err := c.authorizer(c.Policy)
	if err != nil {
		return policyFault(err)
	}
	caller, err := access.NewCaller(explainedName, c.UID, c.GID, 0, c.Label)
	if err != nil {
		return err
	}
	caller.SetNames(c.BusNames...)
	asked, decisions, err := c.decide(rules, caller)
	if err != nil {
		return err
	}
	_, err = os.Stdout.WriteString(c.explain(rules, caller, asked, decisions))
	return err
}

// decide decides as the bridge does. There is more than one decision on a transaction.
func (c *policyExplain) decide(rules *access.Authorizer, caller *access.Caller) (action.Action, []access.Decision, error) {
	asked, other := otherActions[c.Action]
	if event, ok := strings.CutPrefix(c.Action, action.EventPrefix); ok {
		asked, other = action.Event(event), true
	}
	switch {
	case !other:
		decisions, err := bridge.Decide(rules, caller, c.Action, c.Arguments)
		return action.Command(c.Action), decisions, err
	case c.Arguments != "":
		return asked, nil, fmt.Errorf("%s has no arguments", c.Action)
	}
	return asked, []access.Decision{rules.Decide(caller, asked, nil)}, nil
}

// explain is the answer: what, by which policy, and who asks for what as the policies see it.
func (c *policyExplain) explain(rules *access.Authorizer, caller *access.Caller, asked action.Action, decisions []access.Decision) string {
	var text strings.Builder
	line := func(name, format string, values ...any) {
		fmt.Fprintf(&text, "%-10s"+format+"\n", append([]any{name}, values...)...)
	}
	deciding := decisions[0]
	if last := decisions[len(decisions)-1]; !last.Allowed() {
		deciding = last
	}
	line("decision", "%s", verdict(deciding))
	line("policy", "%s", decider(rules, deciding))
	if err := deciding.Err(); err != nil {
		line("because", "%s", oneLine(err))
	}
	line("action", "%s, class %s%s", asked, asked.Class(), c.unknown())
	for i, decision := range decisions[1:] {
		wrapped := action.Command(decision.Action())
		line("", "actions[%d] %s, class %s: %s by %s", i, wrapped, wrapped.Class(), verdict(decision), decider(rules, decision))
	}
	view := rules.View(caller)
	line("caller", "%s", view.Attributes)
	line("in", "%s", strings.Join(view.In, ", "))
	line("resource", "%s", view.Resource)
	line("bridge", "runs as uid %d, which is an admin (--bridge-user)", c.bridgeUID())
	return text.String()
}

// unknown says that the bridge does not know the command, and which was meant.
func (c *policyExplain) unknown() string {
	_, other := otherActions[c.Action]
	if other || strings.HasPrefix(c.Action, action.EventPrefix) || action.IsListed(c.Action) {
		return ""
	}
	const unknown = ": the bridge knows no such command"
	if meant := action.Meant(c.Action, action.Commands()); meant != "" {
		return unknown + "; did you mean " + meant + "?"
	}
	return unknown
}

func verdict(d access.Decision) string {
	if d.Allowed() {
		return "allow"
	}
	return "deny"
}

// decider is the deciding policy's id and, if it is one, its place.
func decider(rules *access.Authorizer, d access.Decision) string {
	if where := rules.Where(strings.TrimPrefix(d.Policy(), "error:")); where != "" && where != d.Policy() {
		return d.Policy() + ", " + where
	}
	return d.Policy()
}
