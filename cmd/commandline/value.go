package commandline

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Value is a flag of a type of its own. Its value, if it is given one, is behind a =.
type Value interface {
	Set(value string, given bool) error
}

// isSwitch tells whether the flag has a value only behind a =.
func (o *option) isSwitch() bool {
	_, own := o.to.Addr().Interface().(Value)
	return own || o.to.Kind() == reflect.Bool
}

// isList tells whether further values are added to the first.
func (o *option) isList() bool { return o.to.Kind() == reflect.Slice }

// set takes a value, or that there is none.
func (o *option) set(value string, given bool) (err error) {
	if o.enum != nil && !slices.Contains(o.enum, value) {
		return fmt.Errorf("want one of %s, not %q", quoted(o.enum), value)
	}
	o.given = true
	switch to := o.to.Addr().Interface().(type) {
	case Value:
		return to.Set(value, given)
	case *bool:
		*to, err = parseBool(value, given)
	case *string:
		*to = value
	case *[]string:
		*to = append(*to, value)
	case *uint32:
		*to, err = parseUint32(value)
	case *[]uint32:
		var number uint32
		number, err = parseUint32(value)
		*to = append(*to, number)
	case *time.Duration:
		*to, err = parseDuration(value)
	default:
		panic(fmt.Sprintf("%s: there are no options of type %v", o.name, o.to.Type())) // a mistake in the program
	}
	return err
}

func parseBool(value string, given bool) (bool, error) {
	switch {
	case !given || value == "true":
		return true, nil
	case value == "false":
		return false, nil
	}
	return false, fmt.Errorf("want true or false, not %q", value)
}

func parseUint32(value string) (uint32, error) {
	number, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("want a number from 0 to %d, not %q", uint32(1<<32-1), value)
	}
	return uint32(number), nil
}

func parseDuration(value string) (time.Duration, error) {
	duration, err := time.ParseDuration(value)
	if err != nil {
		return 0, fmt.Errorf("want a time like 30s or 2m, not %q", value)
	}
	return duration, nil
}
