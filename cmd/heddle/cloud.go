package main

import (
	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/config"
)

// cloudFlags are the flags of run that make the daemon a small cloud, as given.
type cloudFlags struct {
	locator    string // "": it is none
	storage    string // "": by the daemon's name
	allowStart string // "": nothing may be started
}

func (f *cloudFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.locator, "locator", "", "be a small cloud: serve a locator, and by it logging, storage, node and the apps, at host:port or unix:/path (default: none)")
	fs.StringVar(&f.storage, "storage", "", "with --locator: directory of the service storage (default: NAME.storage beside the control sockets)")
	fs.StringVar(&f.allowStart, "allow-start", "", "with --locator: directory whose programs clients may have the service node start, by name (default: none)")
}

// check refuses what cannot be meant.
func (f *cloudFlags) check() error {
	if f.locator == "" && (f.storage != "" || f.allowStart != "") {
		return usage("run", "--storage and --allow-start are for a cloud; they need --locator")
	}
	if err := config.CheckLocator(f.locator); err != nil {
		return usage("run", "--locator %s", err)
	}
	return nil
}

// A cloudStatus is what a daemon says of the cloud that it is.
type cloudStatus struct {
	Locator string   `json:"locator"`
	Started []string `json:"started,omitempty"` // apps that clients had the service node start
}
