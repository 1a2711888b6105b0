package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/config"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and show heddle.toml",
		Long: `Config looks at the file that run reads without TARGET: heddle.toml, or FILE.
docs/configuration.md lists its keys.`,
		Example: `  heddle config check
  heddle config show --json shop.toml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("config", "config is check or show; got %s", quotedWords(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheck(), newConfigShow())
	return cmd
}

func newConfigCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say everything that is wrong with a file",
		Long: `Check reads FILE (heddle.toml) and what it extends, and says all that is wrong, each
with file and line; then it exits with 2. Of a file that is right it says what run
would not find on this machine, a program, user, directory or certificate, and exits
with 1. Nothing is started, built or changed.`,
		Example: `  heddle config check
  heddle config check /etc/heddle/shop.toml`,
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadNamed("check", args)
			if err != nil {
				return err
			}
			if err := lacking(cmd.Context(), c); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %s\n", strings.Join(c.Files, ", "), appNames(c))
			return err
		},
	}
}

func newConfigShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Show every value and where it comes from",
		Long: `Show prints every value that FILE (heddle.toml) and what it extends lead to, and the
file and line that say so. What it prints is a file that means the same.`,
		Example: `  heddle config show
  heddle config show --json /etc/heddle/shop.toml`,
		ValidArgsFunction: completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadNamed("show", args)
			if err != nil {
				return err
			}
			return printConfig(cmd.OutOrStdout(), c, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printConfig(w io.Writer, c *config.Config, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(c)
	}
	return c.Show(w)
}

// loadNamed loads the file that a verb of config was given, or the default.
func loadNamed(verb string, args []string) (*config.Config, error) {
	file := config.DefaultFile
	switch len(args) {
	case 0:
	case 1:
		file = args[0]
	default:
		return nil, usage("config "+verb, "config %s takes one FILE; got %q", verb, args)
	}
	return loadConfig(file, "", "try: heddle config check "+file+", when it is corrected; docs/configuration.md lists the keys")
}

// loadConfig loads a file; its failure has everything that is wrong with it.
func loadConfig(file, fine, try string) (*config.Config, error) {
	c, err := config.Load(file)
	var all config.Errors
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &all) && len(all) > 1:
		err = fmt.Errorf("%s has %d errors:\n%w", file, len(all), err)
	}
	return nil, &failure{code: exitUsage, err: err, fine: fine, try: try}
}

// appNames lists the apps of a file.
func appNames(c *config.Config) string {
	var names []string
	for i := range c.Apps {
		names = append(names, c.Apps[i].Name)
	}
	if len(names) == 1 {
		return "app " + names[0]
	}
	return fmt.Sprintf("%d apps: %s", len(names), strings.Join(names, ", "))
}
