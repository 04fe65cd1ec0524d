package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) audit() *cobra.Command {
	offline := false
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Tell every policy of the running gateway, and all that it may do",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			review, err := a.review(cmd, offline)
			if err != nil {
				return err
			}
			return a.print(cmd.OutOrStdout(), review, func(w io.Writer) error { return writeReview(w, review) })
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "read the files as validate does, instead of asking the running gateway")
	cmd.AddCommand(a.auditVerify())
	return cmd
}

func (a *app) review(cmd *cobra.Command, offline bool) (*host.Review, error) {
	if offline {
		options, err := a.options(cmd)
		if err != nil {
			return nil, err
		}
		return host.ReviewConfig(cmd.Context(), options)
	}
	review := &host.Review{}
	return review, a.ask(cmd, "audit", review)
}

// ask reads what the running gateway answers to GET /admin/v1/{what}.
func (a *app) ask(cmd *cobra.Command, what string, into any) error {
	answer, refused, err := a.callAdmin(cmd, http.MethodGet, what, nil)
	if err != nil {
		return err
	}
	if refused {
		return fmt.Errorf("%s: the gateway refused: %s", what, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s: read the answer: %w", what, err)
	}
	return nil
}

func writeReview(w io.Writer, r *host.Review) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PLUGIN\tVERSION\tSHA-256\tSOURCE\tSIGNER\tBOUND TO\tISOLATION\tON ERROR\tFUEL\tMEMORY\tINSTANCES\tGRANTS\tPOWERS")
	for _, p := range r.Policies {
		digest := strings.TrimPrefix(p.Digest, "sha256:")
		fmt.Fprintf(table, "%s\t%s\t%.12s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\n", p.Plugin, orDash(p.Version), digest, p.Source,
			orDash(p.Signer), orDash(strings.Join(p.Bound, ", ")), p.Isolation, p.OnError, p.Fuel, bytesText(p.Memory), p.Instances,
			orDash(grantsText(p.Grants)), orDash(strings.Join(p.Powers, "; ")))
	}
	return table.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// grantsText is grants as in a document, on one line.
func grantsText(grants any) string {
	data, err := json.Marshal(grants)
	if err != nil || string(data) == "{}" {
		return ""
	}
	return strings.NewReplacer(`"`, "", `{`, "", `}`, "", `,`, ", ", `:[`, ": [").Replace(string(data))
}

// bytesText is a number of bytes in the greatest unit that divides it.
func bytesText(n uint64) string {
	for _, unit := range []struct {
		shift uint
		name  string
	}{{30, " GiB"}, {20, " MiB"}, {10, " KiB"}} {
		if n > 0 && n%(1<<unit.shift) == 0 {
			return strconv.FormatUint(n>>unit.shift, 10) + unit.name
		}
	}
	return strconv.FormatUint(n, 10) + " B"
}

func (a *app) auditVerify() *cobra.Command {
	var o host.AuditOptions
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check the audit log: no line changed, inserted, removed or moved",
		Long: "Check the audit log, FILE or data_dir/audit.log, with its earlier files beside it.\n\n" +
			"Without FILE its end is compared with what the running gateway tells. An end that was\n" +
			"cut off otherwise shows only against a head that was kept elsewhere: --head.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.verifyAudit(cmd, args, o) },
	}
	cmd.Flags().StringArrayVar(&o.Heads, "head", nil, "`SEQ:HASH` of a line that must be there, as status, the log and earlier checks tell it")
	cmd.Flags().StringVar(&o.After, "after", "", "`SEQ:HASH` that earlier files, moved away since, end with")
	return cmd
}

func (a *app) verifyAudit(cmd *cobra.Command, args []string, o host.AuditOptions) error {
	compared := "no running gateway was asked for the end: "
	file, heads := "", o.Heads
	if len(args) > 0 {
		file = args[0]
		compared += "it is another file than data_dir has"
	} else {
		config, _, err := host.LoadAdmin(a.sources())
		if err != nil {
			return err
		}
		file = host.AuditFile(config)
		var status struct{ Audit struct{ Head string } }
		// Asked first: what the gateway appends after that does no harm.
		switch err := a.ask(cmd, "status", &status); {
		case err != nil:
			compared += err.Error()
		default:
			heads = append(heads, status.Audit.Head)
			compared = "the end is what the running gateway tells"
		}
	}
	r, err := host.VerifyAudit(file, host.AuditOptions{After: o.After, Heads: heads})
	if err != nil {
		return err
	}
	result := struct {
		*host.AuditReport
		Compared string `json:"compared"`
	}{r, compared}
	err = a.print(cmd.OutOrStdout(), result, func(w io.Writer) error { return writeAudit(w, r, compared) })
	if err == nil && !r.OK {
		return errReported
	}
	return err
}

func writeAudit(w io.Writer, r *host.AuditReport, compared string) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	if f := r.Fault; f != nil {
		where := f.File
		if f.Line > 0 {
			where = fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		line("%s: %s", where, f.Why)
		line("the audit log was edited or damaged; %d lines before that verify", r.Lines)
		return errors.Join(errs...)
	}
	line("%s: whole, %d lines from %d on, instance %s", strings.Join(r.Files, " "), r.Lines, r.First, r.Instance)
	line("head %s", r.Head)
	if r.Torn > 0 {
		line("note: %d lines were cut off by crashes, and marked by the next start", r.Torn)
	}
	for _, seq := range r.Unstopped {
		line("note: start %d has no stop before it: a crash, or an end that was cut off", seq)
	}
	line("%s", compared)
	return errors.Join(errs...)
}
