package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// completionTimeout is how long somebody who presses Tab waits for a daemon.
const completionTimeout = time.Second

// bashAlone makes cobra's script work where the package bash-completion is not
// installed; words are then what bash itself takes for words.
const bashAlone = `
if ! declare -F _init_completion >/dev/null && ! declare -F _get_comp_words_by_ref >/dev/null; then
    __heddle_init_completion()
    {
        COMPREPLY=()
        words=("${COMP_WORDS[@]}")
        cword=$COMP_CWORD
        cur=${COMP_WORDS[COMP_CWORD]}
        prev=${COMP_WORDS[COMP_CWORD-1]}
    }
fi
`

func newCompletion() *cobra.Command {
	shells := map[string]func(root *cobra.Command, w io.Writer) error{
		"bash": func(root *cobra.Command, w io.Writer) error {
			if err := root.GenBashCompletionV2(w, true); err != nil {
				return err
			}
			_, err := io.WriteString(w, bashAlone)
			return err
		},
		"zsh":  func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
		"fish": func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes heddle's command lines",
		Long: `Completion prints a script for your shell. With it, Tab completes verbs, flags, and
what the daemon knows: names for --name and --app, releases for rollback, workers for
restart and -w, services and their methods for call.

  bash  source <(heddle completion bash)          in ~/.bashrc
  zsh   source <(heddle completion zsh)           in ~/.zshrc, behind compinit
  fish  heddle completion fish | source           in ~/.config/fish/config.fish

For all users: the script as /usr/share/bash-completion/completions/heddle,
/usr/share/zsh/vendor-completions/_heddle or
/usr/share/fish/vendor_completions.d/heddle.fish.`,
		Example: `  source <(heddle completion bash)
  heddle completion zsh >~/.zfunc/_heddle
  heddle completion fish | source`,
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("completion", "completion takes the name of one shell: bash, zsh or fish; got %q", args)
			}
			script, ok := shells[args[0]]
			if !ok {
				return usage("completion", "completion knows bash, zsh and fish, not %q", args[0])
			}
			return script(cmd.Root(), cmd.OutOrStdout())
		},
	}
}

// completeFlag says what a flag's value may be.
func completeFlag(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // there is no such flag, or it was said twice
	}
}

// completeNoFiles keeps files from being offered where a verb takes none.
func completeNoFiles(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 && !cmd.HasSubCommands() {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
		completeNoFiles(cmd)
	}
}

// completeFiles leaves it to the shell.
func completeFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func completeDaemons(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	names, _ := running(ctx) // without an answer nothing is offered
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeApps offers those of the daemon.
func completeApps(control *controlFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) (words []string, _ cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		of := *control
		of.app = "" // all of them
		st, _ := currentStatus(ctx, &of)
		switch {
		case st.AppStatus != nil:
			words = append(words, fmt.Sprintf("%s\t%s", st.Name, st.Release)) // the only one has its name
		default:
			for _, a := range st.Apps {
				words = append(words, fmt.Sprintf("%s\t%s", a.Name, a.Release))
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeReleases offers those that can be brought back.
func completeReleases(control *controlFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) (words []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		list, _, _ := askReleases(ctx, control, topicRollback)
		for _, r := range list.Releases {
			if r.State == releaseKept {
				words = append(words, fmt.Sprintf("%s\t%s, served %s ago", r.Name, r.Target, span(time.Since(r.Served))))
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeSelector is completeWorkers for a flag, whatever arguments there are.
func completeSelector(control *controlFlags) cobra.CompletionFunc {
	f := completeWorkers(control)
	return func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return f(cmd, nil, word)
	}
}

// completeWorkers offers each worker of the app that is meant by its index, and
// the processes.
func completeWorkers(control *controlFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, to string) (words []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		st, _ := currentStatus(ctx, control)
		if st.AppStatus == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		}
		for _, w := range st.Workers {
			about := fmt.Sprintf("\t%s for %s, pid %d", w.State, span(time.Since(w.Since)), w.Pid)
			if !w.Standby {
				words = append(words, strconv.Itoa(w.Index)+about)
			}
			words = append(words, fmt.Sprintf("%.8s%s", w.ID, about))
		}
		return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}
