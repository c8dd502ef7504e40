package bridge

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/bridge/access"
	"qmp-dbus-bridge/bridge/action"
	"qmp-dbus-bridge/qmp"
)

// transaction is the only command that wraps others: each of its actions is one, by the name type with the arguments
// data, executed without being asked for by itself. human-monitor-command takes commands too, but of another
// language; it is class host as a whole, like all that runs programs. No other command of the captured
// schemas has a member that chooses among commands, which a test looks for.
const transaction = "transaction"

// maxActions bounds the actions of one transaction: each is a decision and a record of the audit. A backup of a
// VM needs two for each disk.
const maxActions = 128

// transactionAction is one action. The names are those of QEMU to the letter.
type transactionAction struct {
	Type *string        `json:"type"`
	Data jsontext.Value `json:"data"`
}

// actionsOf returns what a command wraps, nothing if it isn't a transaction. It is an error if that can't be told.
func actionsOf(command qmp.Command) ([]transactionAction, error) {
	if command.Name != transaction {
		return nil, nil
	}
	var arguments struct {
		Actions []jsontext.Value `json:"actions"`
	}
	err := json.Unmarshal(command.Arguments, &arguments) // one also where there are none
	if err != nil || arguments.Actions == nil {
		return nil, failuref(errInvalidArgs, "transaction.actions: want a list of actions")
	}
	if len(arguments.Actions) > maxActions {
		return nil, failuref(errLimits, "transaction.actions: %d actions; %d is the most", len(arguments.Actions), maxActions)
	}
	actions := make([]transactionAction, len(arguments.Actions))
	for i, text := range arguments.Actions {
		err := json.Unmarshal(text, &actions[i], json.RejectUnknownMembers(true))
		switch {
		case err != nil, actions[i].Type == nil, actions[i].Data.Kind() != jsontext.KindBeginObject:
			return nil, failuref(errInvalidArgs, `transaction.actions[%d]: want {"type": COMMAND, "data": {...}} and nothing else`, i)
		case *actions[i].Type == transaction:
			return nil, failuref(errInvalidArgs, "transaction.actions[%d]: a transaction can't be in a transaction", i)
		}
	}
	return actions, nil
}

// decideActions decides each action of a command as the command that it is, up to the first that is denied.
func decideActions(policy *access.Authorizer, caller *access.Caller, command qmp.Command) (wrapped []access.Decision, err error) {
	actions, err := actionsOf(command)
	for _, one := range actions {
		decision := policy.Decide(caller, action.Command(*one.Type), one.Data)
		wrapped = append(wrapped, decision)
		if !decision.Allowed() {
			break
		}
	}
	return wrapped, err
}
