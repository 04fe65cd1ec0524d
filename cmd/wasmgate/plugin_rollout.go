package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

// pluginRollout starts a rollout, or changes which requests the new version serves.
func (a *app) pluginRollout() *cobra.Command {
	var (
		to       string
		r        host.Rollout
		failures float64
		denials  float64
		latency  time.Duration
	)
	cmd := &cobra.Command{
		Use:   "rollout ID",
		Short: "Serve a part of a plugin's requests by a new version of it",
		Long: `Serve a part of a plugin's requests by a new version of it, which the running gateway keeps.
The gateway takes it back by itself when it fails, denies or dawdles beyond its bounds. Without
--to the share of the rollout that runs is changed.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Plugin = args[0]
			for flag, bound := range map[string]struct {
				into  **float64
				value float64
			}{"max-failures": {&r.Failures, failures}, "max-denials": {&r.Denials, denials}, "max-latency": {&r.Latency, float64(latency) / float64(time.Millisecond)}} {
				if cmd.Flags().Changed(flag) {
					*bound.into = &bound.value
				}
			}
			if to != "" {
				module, err := os.ReadFile(to)
				if err != nil {
					return fmt.Errorf("roll out plugin %q: %w", r.Plugin, err)
				}
				r.Module = module
				text, err := readSignature(to + host.SignatureSuffix)
				if err != nil {
					return fmt.Errorf("roll out plugin %q: %w", r.Plugin, err)
				}
				if text != nil {
					r.Signatures = [][]byte{text}
				}
			}
			return a.onRollouts(cmd, http.MethodPost, "rollouts/start", &r)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&to, "to", "", "`file` of the new version; its signature stands in FILE.minisig")
	flags.Float64Var(&r.Percent, "percent", 0, "share of the requests, by chance, 0.01 to 100")
	flags.StringVar(&r.Stage, "stage", "", "`name` of the stage whose requests it serves")
	flags.StringVar(&r.Header, "header", "", "requests with this header, `\"name\" or \"name: value\"`, which any client can send")
	flags.Float64Var(&failures, "max-failures", 1, "percentage of decisions that may fail (traps, exhausted fuel, bad results)")
	flags.Float64Var(&denials, "max-denials", 5, "percentage points by which it may deny more than the old version")
	flags.DurationVar(&latency, "max-latency", 50*time.Millisecond, "time within which 95 of 100 calls must end")
	flags.Uint64Var(&r.Decisions, "min-decisions", 0, "fewer decisions count as that many (default 100)")
	cmd.MarkFlagsOneRequired("percent", "stage", "header")
	cmd.MarkFlagsMutuallyExclusive("percent", "stage", "header")
	return cmd
}

func (a *app) pluginPromote() *cobra.Command {
	return &cobra.Command{
		Use:   "promote ID",
		Short: "Serve all requests of a plugin by the version that is rolled out",
		Long: `Serve all requests of a plugin by the version that is rolled out. The gateway keeps it, over
restarts too, until the plugin's own file or source gives another version.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onRollouts(cmd, http.MethodPost, "rollouts/promote", map[string]string{"plugin": args[0]})
		},
	}
}

func (a *app) pluginRollback() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "rollback ID",
		Short: "Take back the version that is rolled out, or the promoted one",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onRollouts(cmd, http.MethodPost, "rollouts/rollback", map[string]string{"plugin": args[0], "reason": reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the status and the log")
	return cmd
}

func (a *app) pluginStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status [ID]",
		Short: "Tell of rollouts: those that run or are promoted, and how the last ones ended",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onRollouts(cmd, http.MethodGet, "rollouts", nil, args...)
		},
	}
}

// onRollouts sends a command about rollouts and prints what there is then, of the given
// plugins only when there are any.
func (a *app) onRollouts(cmd *cobra.Command, method, what string, arguments any, plugins ...string) error {
	var body []byte
	if arguments != nil {
		var err error
		if body, err = json.Marshal(arguments); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	answer, refused, err := a.callAdmin(cmd, method, what, body)
	if err != nil {
		return err
	}
	if refused {
		var why struct{ Error, Message string }
		if err := json.Unmarshal(answer, &why); err != nil {
			return fmt.Errorf("%s: read the answer: %w", what, err)
		}
		return errors.New(why.Error + why.Message)
	}
	var list host.RolloutList
	if err := json.Unmarshal(answer, &list); err != nil {
		return fmt.Errorf("%s: read the answer: %w", what, err)
	}
	if len(plugins) > 0 {
		kept := list.Rollouts[:0]
		for _, r := range list.Rollouts {
			if r.Plugin == plugins[0] {
				kept = append(kept, r)
			}
		}
		list.Rollouts = kept
	}
	return a.print(cmd.OutOrStdout(), list, func(w io.Writer) error { return writeRollouts(w, list.Rollouts) })
}

func writeRollouts(w io.Writer, list []host.RolloutStatus) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no rollouts")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTATE\tSERVES\tVERSION\tFROM\tTO\tDECISIONS\tFAILED\tDENIED\tP95\tREASON")
	for _, r := range list {
		counts := "\t\t\t"
		if r.New != nil && r.Old != nil {
			counts = fmt.Sprintf("%d / %d\t%d / %d\t%d / %d\t%v / %v", r.New.Decisions, r.Old.Decisions, r.New.Failures, r.Old.Failures,
				r.New.Denials, r.Old.Denials, r.New.P95, r.Old.P95)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.19s\t%.19s\t%s\t%s\n", r.Plugin, r.State, r.Share.String(), r.Version, r.Base, r.Digest, counts, r.Reason)
	}
	return table.Flush()
}
