package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/service"
)

// completeCall offers the services that the locator has of its own, and then the
// methods of one.
func completeCall(c *methodCall) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) (words []string, _ cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		at, err := c.locators(ctx)
		if err == nil {
			switch {
			case len(args) == 0:
				words = servicesAt(ctx, at)
			case len(args) == 1 && !c.list:
				words = c.methodsOf(ctx, at, args[0])
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp // without an answer nothing is offered
	}
}

// servicesAt are those of the locator's own, which the dialect v0 alone has a method for.
func servicesAt(ctx context.Context, at []string) []string {
	s, err := service.New(service.Options{Name: "locator", Endpoints: at, Dialect: service.DialectV0, Methods: oldLocator})
	if err != nil {
		return nil
	}
	defer s.Close()
	_, _ = s.Call(ctx, "resolve", "logging") // by this a locator for both knows the dialect
	all, err := service.Call[map[string]any](ctx, s, "reports")
	if err != nil {
		return nil
	}
	words := []string{"locator"}
	for name := range all {
		words = append(words, plainText(name))
	}
	slices.Sort(words)
	return words
}

// methodsOf are a service's methods, with what may be said to them and what they answer.
func (c *methodCall) methodsOf(ctx context.Context, at []string, name string) (words []string) {
	o := service.ClientOptions{Locators: at}
	if c.dialect == "v0" {
		o.Dialect = service.DialectV0
	}
	client, err := service.NewClient(o)
	if err != nil {
		return nil
	}
	defer client.Close()
	s, err := client.Service(name)
	if err != nil {
		return nil
	}
	methods, _ := s.Methods(ctx)
	if name == "locator" && c.dialect == "v0" { // which does not know itself
		methods = oldLocator
	}
	for _, m := range methods {
		if isControl(m.ID) {
			continue
		}
		word := plainText(m.Name)
		if arms := armsOf(m.Upstream); len(arms) > 0 && c.dialect != "v0" {
			word += "\t-> " + plainText(strings.Join(arms, "|"))
		}
		words = append(words, word)
	}
	return words
}
