package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/config"
	"github.com/heddle-go/heddle/httpcompat/front"
)

// configure takes TARGET and its arguments from the command line, or without
// TARGET from a file, which also says what flags that are not given would.
func (o *runOptions) configure(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	file := o.file
	switch target := len(args) > 0 && dash != 0; {
	case target && file != "":
		return usage("run", "--config %s names what to run, and so does %q; give one of them", file, args[0])
	case target:
		return o.take(args, dash)
	case file == "" && len(args) > 0 && o.inPlace(): // run --http -- PROGRAM ARGS
		return o.take(args, dash)
	case file == "":
		if _, err := os.Lstat(config.DefaultFile); errors.Is(err, os.ErrNotExist) {
			return o.take(args, dash) // which says that TARGET is missing
		}
		file = config.DefaultFile
	}
	c, err := loadConfig(file, "nothing was started.", "try: heddle config check "+file+", when it is corrected")
	if err != nil {
		return err
	}
	o.file, o.config, o.filed = file, c, make(map[string]bool)
	if len(c.Apps) > 1 || len(c.Apps[0].Hosts)+len(c.Apps[0].Paths) > 0 {
		return o.followAll(cmd, c, args)
	}
	return o.follow(cmd, c, args)
}

// followAll does what a file of several apps, or of one with routes, says.
func (o *runOptions) followAll(cmd *cobra.Command, c *config.Config, args []string) error {
	if len(args) > 0 {
		return usage("run", "%s names several apps; whose arguments %q are, it has to say", o.file, args)
	}
	if o.watch && len(c.Apps) > 1 {
		return usage("run", "--watch is for one app, and %s names %s", o.file, appNames(c))
	}
	given := cmd.Flags().Changed("name")
	var cannot []string
	if err := o.settle(cmd, c, c.Settings(""), &cannot); err != nil {
		return err
	}
	daemons := make(map[string]bool) // keys of the daemon's, too
	for _, s := range c.Settings("") {
		daemons[s.Key.Name] = true
	}
	for i := range c.Apps {
		app := &c.Apps[i]
		for _, s := range c.Settings(app.Name) {
			f := cmd.Flags().Lookup(flagOf(s.Key))
			if daemons[s.Key.Name] {
				continue
			}
			switch {
			case f != nil && f.Changed:
				return usage("run", "--%s does not say which of the apps of %s is meant; set it there", f.Name, o.file)
			}
			o.filed[s.Key.Name] = o.filed[s.Key.Name] || s.Origin.From != config.FromDefault
		}
		o.apps = append(o.apps, optionsOf(app))
	}
	if cannot != nil {
		return o.cannot(cannot)
	}
	o.routes, o.appOptions.target = config.NewRoutes(c.Apps), o.file
	if !given {
		o.title = c.Name
	}
	return nil
}

// An override is a key whose flag was given.
type override struct {
	app, key string
	values   []string
}

// reread is what the file says by now, under the flags that were given.
func (o *runOptions) reread() (*config.Config, error) {
	c, err := loadConfig(o.file, "the configuration that runs stays.", "try: heddle config check "+o.file+", when it is corrected")
	if err != nil {
		return nil, err
	}
	for _, v := range o.given {
		if c.App(v.app) == nil && v.app != "" {
			continue // it has gone, and its flags with it
		}
		if err := c.SetFlag(v.app, v.key, v.values); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// optionsOf are an app's options as its table has them.
func optionsOf(a *config.App) *appOptions {
	return &appOptions{
		name: a.Name, target: a.Target, args: a.Args, dir: a.Dir, environ: a.Environ,
		userName: a.User, groupName: a.Group, tabled: true,
		workers: a.Workers, standbys: a.Standbys, suspended: a.Suspended, concurrency: a.Concurrency,
		limits: front.AppLimits{WriteTimeout: a.WriteTimeout, ResponseHeaderTimeout: a.ResponseHeaderTimeout, MaxBody: a.MaxBody},
		queue:  a.Queue, queueAge: a.QueueAge,
		startTimeout: a.StartTimeout, heartbeatTimeout: a.HeartbeatTimeout, drainTimeout: a.DrainTimeout,
		shutdownTimeout: a.ShutdownTimeout, killDelay: a.KillDelay,
		logs: logFlags{
			stdout: a.Log.Stdout, stderr: a.Log.Stderr, ring: size(a.Log.Memory),
			rotateSize: size(a.Log.RotateSize), rotateAge: a.Log.RotateAge, gzip: a.Log.Gzip, keep: a.Log.Keep,
		},
		plain:           plainFlags{http: a.HTTP, health: a.Health},
		foreign:         foreignFlags{dialect: a.Dialect, event: a.Event},
		cloudAt:         a.Cloud,
		recycleRequests: a.RecycleRequests, recycleAge: a.RecycleAge, recycleMemory: size(a.RecycleMemory),
	}
}

// flagOf is what a key is called as a flag.
func flagOf(k *config.Key) string { return strings.Replace(k.Name, "log.", "log-", 1) }

// settle sets the flags that are not given to what the file says.
func (o *runOptions) settle(cmd *cobra.Command, c *config.Config, settings []config.Setting, cannot *[]string) error {
	for _, s := range settings {
		f := cmd.Flags().Lookup(flagOf(s.Key))
		switch {
		case f != nil && f.Changed:
			list, ok := f.Value.(interface{ GetSlice() []string })
			values := []string{f.Value.String()}
			if ok {
				values = list.GetSlice()
			}
			if err := c.SetFlag(s.App, s.Key.Name, values); err != nil {
				return usage("run", "%s", err)
			}
			o.given = append(o.given, override{s.App, s.Key.Name, values})
		case s.Origin.From == config.FromDefault, handled[s.Key.Name]:
		case f == nil:
			*cannot = append(*cannot, fmt.Sprintf("%s: %s has no effect yet", s.Origin, s.Key.Name))
		default:
			if err := setFlag(f.Value, s.FlagText()); err != nil {
				return usage("run", "%s: %s: %s", s.Origin, f.Name, err)
			}
			o.filed[s.Key.Name] = true
			o.front.filed = o.filed["listen"]
		}
	}
	return nil
}

// handled are the keys that are heeded without a flag.
var handled = map[string]bool{"target": true, "args": true, "env": true, "env-allow": true, "dir": true}

func (o *runOptions) cannot(lines []string) error {
	return &failure{
		code: exitRefused,
		err:  fmt.Errorf("%s asks for what run cannot do:\n%s", o.file, strings.Join(lines, "\n")),
		fine: "nothing was started.",
		try:  "try: heddle run, without these lines",
	}
}

// follow does what a file of one app says; args are the program's, if any.
func (o *runOptions) follow(cmd *cobra.Command, c *config.Config, args []string) error {
	app := &c.Apps[0]
	given := cmd.Flags().Changed("name")
	var cannot []string
	if err := o.settle(cmd, c, append(c.Settings(""), c.Settings(app.Name)...), &cannot); err != nil {
		return err
	}
	if cannot != nil {
		return o.cannot(cannot)
	}
	o.target, o.args, o.dir, o.environ, o.tabled = app.Target, app.Args, app.Dir, app.Environ, true
	if len(args) > 0 {
		o.args = args
	}
	if !given {
		o.title = c.Name
	}
	return nil
}

// setFlag sets a flag as if it had not been given.
func setFlag(v interface{ Set(string) error }, texts []string) error {
	if list, ok := v.(interface{ Replace([]string) error }); ok {
		return list.Replace(texts)
	}
	return v.Set(texts[0])
}
