package host

import (
	"context"
	"errors"

	"github.com/wasmgate/wasmgate/host/internal/audit"
	"github.com/wasmgate/wasmgate/host/internal/control"
)

// Review is every policy of a configuration with all that it may do. Audit is nil when no
// gateway runs it.
type Review = control.Review

// ReviewedPolicy is one policy of a [Review].
type ReviewedPolicy = control.ReviewedPolicy

// ReviewConfig loads everything as [Validate] does and tells what its policies may do.
func ReviewConfig(ctx context.Context, o Options) (_ *Review, err error) {
	defer func() { err = shown(o.Config, err) }()
	var r *Review
	err = loaded(ctx, o, func(s *snapshot) {
		r = &Review{Snapshot: digestText(s.digest), Policies: scrubbedPolicies(o.Config, s.reviewed)}
	})
	return r, err
}

// AuditFile is the audit log of a gateway.
func AuditFile(c *Config) string { return auditFile(c.DataDir) }

// AuditOptions say what an audit log is compared with; heads are written SEQ:HASH.
type AuditOptions struct {
	// After is the head that earlier files of the log, moved away since, end with; empty
	// wants the whole log.
	After string
	// Heads are lines that must be there; only they show an end that was cut off.
	Heads []string
}

// AuditReport is what [VerifyAudit] found. Its JSON is stable.
type AuditReport struct {
	OK       bool     `json:"ok"`
	Instance string   `json:"instance,omitempty"`
	Files    []string `json:"files,omitempty"`
	Lines    int      `json:"lines"`
	First    uint64   `json:"first_seq,omitempty"`
	Head     string   `json:"head,omitempty"` // SEQ:HASH
	// Torn are lines that a crash cut off and the next start marked.
	Torn int `json:"torn"`
	// Unstopped are starts before which the gateway did not record its stop: it crashed, or
	// the end of the log was cut off while it did not run.
	Unstopped []uint64 `json:"unstopped,omitempty"`
	// Fault is the first thing that is wrong; nil when OK.
	Fault *AuditFault `json:"fault,omitempty"`
}

// AuditFault is where and why an audit log does not verify.
type AuditFault struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"` // 0 is the log as a whole
	Why  string `json:"why"`
}

// VerifyAudit checks an audit log with its earlier files. The error is of the file system or
// the options; an edit is the report's Fault.
func VerifyAudit(file string, o AuditOptions) (*AuditReport, error) {
	var heads audit.VerifyOptions
	for _, text := range o.Heads {
		head, err := audit.ParseHead(text)
		if err != nil {
			return nil, err
		}
		heads.Heads = append(heads.Heads, head)
	}
	if o.After != "" {
		var err error
		if heads.After, err = audit.ParseHead(o.After); err != nil {
			return nil, err
		}
	}
	r, err := audit.Verify(file, heads)
	fault, isFault := errors.AsType[*audit.Fault](err)
	if err != nil && !isFault {
		return nil, err
	}
	report := &AuditReport{OK: err == nil, Instance: r.Instance, Files: r.Files, Lines: r.Lines, First: r.First, Torn: r.Torn, Unstopped: r.Unstopped}
	if r.Lines > 0 {
		report.Head = r.Head.String()
	}
	if isFault {
		report.Fault = &AuditFault{fault.File, fault.Line, fault.Why}
	}
	return report, nil
}
