package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	heddle "github.com/heddle-go/heddle"
)

// A versionReply is what version says, and its --json shape.
type versionReply struct {
	Version  string   `json:"version"` // of the module; "(devel)" when built from a working tree
	Commit   string   `json:"commit"`  // "" when the build does not know it
	Modified bool     `json:"modified"`
	Go       string   `json:"go"`
	Platform string   `json:"platform"`
	Dialects []string `json:"dialects"`
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which heddle this is",
		Long:  "Version says the module's version, the commit it was built from, Go's version and\nthe dialects of the wire protocol that it speaks.",
		Example: `  heddle version
  heddle version --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo() // nil without modules: then nothing is known
			return printVersion(cmd.OutOrStdout(), versionOf(info), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// versionOf takes from the build's own record what there is to say.
func versionOf(info *debug.BuildInfo) versionReply {
	v := versionReply{
		Version:  "(devel)",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Dialects: []string{heddle.V0.String(), heddle.V1.String()},
	}
	if info == nil {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func printVersion(w io.Writer, v versionReply, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(v)
	}
	commit := v.Commit
	switch {
	case commit == "":
		commit = "unknown"
	case v.Modified:
		commit += " (modified)"
	}
	_, err := fmt.Fprintf(w, "heddle %s\ncommit %s\n%s %s\ndialects %s %s\n", v.Version, commit, v.Go, v.Platform, v.Dialects[0], v.Dialects[1])
	return err
}
