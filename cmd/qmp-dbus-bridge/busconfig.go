package main

import (
	"context"
	"os"

	"qmp-dbus-bridge/bridge/account"
)

// busConfigCommand is `bus-config`: the configuration of a private bus, for who runs it
// otherwise than by serve or run.
type busConfigCommand struct {
	privateFlags `embed:""`

	BridgeUser string `placeholder:"USER" help:"The user (a name or uid) that the bridge will run as. Default: yourself."`
}

// AfterApply finds the mistakes that the parser can't see; it calls this.
func (c *busConfigCommand) AfterApply() error {
	if err := c.check(); err != nil {
		return err
	}
	var bridge *uint32
	err := accounts{{"--bridge-user", c.BridgeUser, account.ParseUser, &bridge}}.resolve()
	if bridge != nil {
		c.bridgeAccount = *bridge
	}
	return err
}

// Run prints the configuration.
func (c *busConfigCommand) Run(context.Context) error {
	config, err := c.privateBus(c.givenQEMU)
	if err != nil {
		return err
	}
	text, err := config.Render()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}
