package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/godbus/dbus/v5"
)

const (
	maxNames    = 64                     // well-known names of one connection; a helper has one or two
	maxOwners   = 1024                   // connections that own names
	maxListed   = 4096                   // names on the bus when it is joined
	namesWithin = 500 * time.Millisecond // for reading them
)

// busNames are the well-known names that a caller owns. They never change; others take their place. Nil stands for
// names that are not known, which is another thing than none.
type busNames struct{ set cedar.Set }

var errNamesUnknown = errors.New("it is not known which names the caller owns")

func newBusNames(names []string) *busNames {
	values := make([]cedar.Value, len(names))
	for i, name := range names {
		values[i] = cedar.String(name)
	}
	return &busNames{cedar.NewSet(values...)}
}

// owners tells who owns which names. Callers.mu guards it.
type owners struct {
	known bool // the names that there were at the start have been read
	// There were too many owners: who is not in names may own some. It is for good, until the bridge starts anew: else
	// clients that come and go could have all names read again and again.
	full  bool
	names map[string][]string
}

// tooMany stands in owners.names for more than maxNames. It is for good: unique names are not
// used again.
var tooMany = []string{"too many"}

// of returns the names of a connection, or nil if they are not known.
func (o *owners) of(unique string) *busNames {
	names, found := o.names[unique]
	if !o.known || o.full && !found || isTooMany(names) {
		return nil
	}
	return newBusNames(names)
}

func isTooMany(names []string) bool { return len(names) > 0 && &names[0] == &tooMany[0] }

func (o *owners) add(unique, name string) {
	names, found := o.names[unique]
	switch {
	case isTooMany(names), slices.Contains(names, name):
	case !found && len(o.names) >= maxOwners:
		o.full = true
	case len(names) >= maxNames:
		o.names[unique] = tooMany
	default:
		o.names[strings.Clone(unique)] = append(slices.Clip(names), strings.Clone(name))
	}
}

func (o *owners) remove(unique, name string) {
	names, found := o.names[unique]
	if !found || isTooMany(names) {
		return
	}
	names = slices.DeleteFunc(slices.Clone(names), func(other string) bool { return other == name })
	if len(names) == 0 && !o.full { // else it would be taken for one that there was no room for
		delete(o.names, unique)
	} else {
		o.names[unique] = names
	}
}

// moved notes that a name has another owner, and returns who has got or lost it; either may be nobody.
func (c *Callers) moved(name, from, to string) (touched []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isUniqueName(from) {
		c.owners.remove(from, name)
		touched = append(touched, from)
	}
	if isUniqueName(to) {
		c.owners.add(to, name)
		touched = append(touched, to)
	}
	for _, unique := range touched {
		c.tellNames(unique)
	}
	return touched
}

// Update gives a caller that Lookup has returned the names that it owns now. Callers that are known have them
// always; one that was dropped since, because too many were known, has those of that time.
func (c *Callers) Update(caller *Caller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.known[caller.Name]; e == nil || e.caller != caller {
		caller.names.Store(c.owners.of(caller.Name))
	}
}

// tellNames gives a caller that is known the names that it owns now. It wants c.mu held.
func (c *Callers) tellNames(unique string) {
	if e := c.known[unique]; e != nil && e.caller != nil {
		e.caller.names.Store(c.owners.of(unique))
	}
}

// Owners tells which connections own a name that is within, or below it, with those names, sorted: as far as the names of all are
// known, and those of one that owns more than 64 are not.
func (c *Callers) Owners(within string) map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string][]string{}
	for unique, names := range c.owners.names {
		for _, name := range names {
			if name == within || strings.HasPrefix(name, within+".") {
				found[unique] = append(found[unique], name)
			}
		}
		slices.Sort(found[unique])
	}
	return found
}

// readNames learns who owns what. The bus is watched already: changes meanwhile are heard of afterwards, one by one, and what
// they say last is so. If it can't be read, the names of all are not known.
func (c *Callers) readNames(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, namesWithin)
	defer cancel()
	owned, err := listOwners(ctx, c.bus.Object(driver, driverPath))
	if err != nil {
		c.config.Log.Warn("the names on the bus can't be read: policies that look at busNames deny", "error", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owners.known = true
	for name, unique := range owned {
		c.owners.add(unique, name)
	}
}

// listOwners asks for the owner of each well-known name.
func listOwners(ctx context.Context, bus dbus.BusObject) (map[string]string, error) {
	var names []string
	if err := bus.CallWithContext(ctx, driver+".ListNames", 0).Store(&names); err != nil {
		return nil, fmt.Errorf("ListNames: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return isUniqueName(name) || name == driver })
	if len(names) > maxListed {
		return nil, fmt.Errorf("more than %d names", maxListed)
	}
	owned := make(map[string]string)
	for _, name := range names {
		var unique string
		err := bus.CallWithContext(ctx, driver+".GetNameOwner", 0, name).Store(&unique)
		switch gone, ok := errors.AsType[dbus.Error](err); {
		case ok && gone.Name == driver+".Error.NameHasNoOwner": // any more
		case err != nil:
			return nil, fmt.Errorf("GetNameOwner %q: %w", name, err)
		default:
			owned[name] = unique
		}
	}
	return owned, nil
}
