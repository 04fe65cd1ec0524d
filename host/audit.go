package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/audit"
	"github.com/wasmgate/wasmgate/host/internal/control"
	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/rollout"
	"github.com/wasmgate/wasmgate/host/model"
)

// maxToldBytes is how much of an error is recorded: a thousand broken documents say the same
// a thousand times.
const maxToldBytes = 64 << 10

// auditFile is the audit log below a data directory.
func auditFile(dataDir string) string { return filepath.Join(dataDir, "audit.log") }

// openAudit makes data_dir and opens the audit log in it. A start that cannot be recorded is
// none: nobody is served yet, and the configuration may be one that nobody has recorded.
func (h *Host) openAudit() error {
	c := h.options.Config
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("open data_dir: %w", err)
	}
	var err error
	if h.audit, err = audit.Open(auditFile(c.DataDir), audit.Options{Scrub: c.Scrub}); err != nil {
		return err
	}
	err = h.record(audit.Event{Kind: audit.GatewayStarted, Fields: map[string]any{"version": h.options.Version, "pid": os.Getpid()}})
	if err != nil {
		return errors.Join(err, h.audit.Close())
	}
	return nil
}

// closeAudit records the end, and why.
func (h *Host) closeAudit(why error) error {
	fields := map[string]any{}
	if why != nil {
		fields["error"] = told(why)
	}
	return errors.Join(h.record(audit.Event{Kind: audit.GatewayStopped, Fields: fields}), h.audit.Close())
}

// record puts events into the audit log, all or none, before what they tell takes effect. The
// head goes to the operator's log too, which often is kept on another machine: there it shows
// an end that was cut off.
func (h *Host) record(events ...audit.Event) error {
	head, err := h.audit.Append(events...)
	if err != nil {
		h.log.Error("nothing can be recorded, so no change takes effect", "error", err)
		return err
	}
	kinds := make([]string, 0, 8)
	for _, e := range events {
		if !slices.Contains(kinds, string(e.Kind)) {
			kinds = append(kinds, string(e.Kind))
		}
	}
	h.log.Info("recorded", "head", head.String(), "kinds", kinds)
	return nil
}

// recordLoad records that s, made of c, takes the place of what serves now. A reload that
// changes nothing, as an editor causes by writing twice, is not recorded.
func (h *Host) recordLoad(c *Config, s *snapshot) error {
	h.mu.Lock()
	old := h.snapshot
	h.mu.Unlock()
	if old == nil {
		old = &snapshot{}
	}
	loaded := map[string]any{"snapshot": digestText(s.digest), "apis": len(s.apis), "policies": len(s.policies)}
	if c.File != "" {
		loaded["process_file"] = recordedFile{c.File, digestText(c.Digest)}
	}
	var changed []recordedFile
	for _, file := range slices.Sorted(maps.Keys(s.documents)) {
		if before, there := old.documents[file]; !there || before != s.documents[file] {
			changed = append(changed, recordedFile{file, digestText(s.documents[file])})
		}
	}
	var removed []string
	for _, file := range slices.Sorted(maps.Keys(old.documents)) {
		if _, there := s.documents[file]; !there {
			removed = append(removed, file)
		}
	}
	loaded["documents"], loaded["changed_documents"], loaded["removed_documents"] = len(s.documents), changed, removed
	events := append(pluginChanges(old.came, s.came), policyChanges(old.reviewed, s.reviewed)...)
	same := old.serving != nil && old.digest == s.digest && h.process == c.Digest
	if same && len(events)+len(changed)+len(removed) == 0 && h.refusal == "" {
		return nil
	}
	if err := h.record(slices.Insert(events, 0, audit.Event{Kind: audit.ConfigurationLoaded, Fields: loaded})...); err != nil {
		return err
	}
	h.process, h.refusal = c.Digest, ""
	return nil
}

// recordedFile is a file as the audit log has it.
type recordedFile struct {
	File   string `json:"file"`
	Digest string `json:"digest"`
}

// recordRefusal records a configuration that is not taken, and the plugins that are why. When
// it cannot be recorded, status says so; it is refused in any case. The same refusal again,
// as each look at the files gives it, is not recorded.
func (h *Host) recordRefusal(why error) {
	if why.Error() == h.refusal {
		return
	}
	events := []audit.Event{{Kind: audit.ConfigurationRefused, Fields: map[string]any{"error": told(why)}}}
	if e, ok := errors.AsType[*ConfigErrors](why); ok {
		for _, p := range e.refused {
			events = append(events, audit.Event{Kind: audit.PluginRefused, Fields: p})
		}
	}
	if h.record(events...) == nil {
		h.refusal = why.Error()
	}
}

func told(err error) string {
	text := err.Error()
	if len(text) > maxToldBytes {
		text = fmt.Sprintf("%s... (%d bytes)", text[:maxToldBytes], len(text))
	}
	return text
}

// refusedPlugin is a module that is no plugin for us, or not the one that was asked for.
type refusedPlugin struct {
	Plugin string `json:"plugin"`
	Source string `json:"source"`
	Digest string `json:"digest,omitempty"` // of what was read; empty when nothing was
	Why    string `json:"why"`
}

// refused is what s could not get, and its files among problems.
func (s *pluginSet) refused(problems document.Errors) []refusedPlugin {
	var list []refusedPlugin
	for key, err := range s.failed {
		r := refusedPlugin{Plugin: key.name(), Source: key.where(), Why: told(err)}
		if digest, read := s.digests[key.path]; read {
			r.Digest = digestText(digest)
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b refusedPlugin) int { return strings.Compare(a.Source+a.Plugin, b.Source+b.Plugin) })
	for _, p := range problems {
		if digest, read := s.digests[p.File]; read && s.failed[moduleKey{path: p.File}] == nil {
			list = append(list, refusedPlugin{Plugin: moduleKey{path: p.File}.name(), Source: p.File, Digest: digestText(digest), Why: told(&document.Errors{p})})
		}
	}
	return list
}

// origin is where the module of a plugin came from.
type origin struct {
	Plugin string `json:"plugin"`
	Digest string `json:"digest"`
	Source string `json:"source"`
	Signer string `json:"signer,omitempty"`
}

// origins is every plugin that s loaded, by where it came from and its name there.
func (s *snapshot) origins() map[string]origin {
	list := make(map[string]origin, len(s.plugins.used))
	for key, e := range s.plugins.used {
		o := origin{Plugin: e.pluginID(key.name()), Digest: digestText(e.Digest()), Source: key.where(),
			Signer: s.plugins.provenance(e.Digest()).verdict.KeyID}
		list[o.Source+" "+key.name()] = o
	}
	return list
}

// pluginChanges tells what became of the plugins from one snapshot to the next.
func pluginChanges(old, now map[string]origin) (events []audit.Event) {
	for _, key := range slices.Sorted(maps.Keys(now)) {
		is := now[key]
		switch was, there := old[key]; {
		case !there:
			events = append(events, audit.Event{Kind: audit.PluginLoaded, Fields: is})
		case was != is:
			events = append(events, audit.Event{Kind: audit.PluginSwapped, Fields: map[string]any{"plugin": is.Plugin, "old": was, "new": is}})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if _, there := now[key]; !there {
			events = append(events, audit.Event{Kind: audit.PluginRemoved, Fields: old[key]})
		}
	}
	return events
}

// policyChanges tells which policies are bound anew, which no more, and whose grants are
// others where the same plugin stays bound.
func policyChanges(old, now []control.ReviewedPolicy) (events []audit.Event) {
	without := func(list, of []control.ReviewedPolicy) (left []control.ReviewedPolicy) {
		for _, p := range list {
			if !slices.ContainsFunc(of, func(q control.ReviewedPolicy) bool { return reflect.DeepEqual(p, q) }) {
				left = append(left, p)
			}
		}
		return left
	}
	gone, come := without(old, now), without(now, old)
	for _, p := range gone {
		events = append(events, audit.Event{Kind: audit.PolicyUnbound, Fields: map[string]any{"plugin": p.Plugin, "digest": p.Digest, "bound": p.Bound}})
	}
	for _, p := range come {
		events = append(events, audit.Event{Kind: audit.PolicyBound, Fields: p})
	}
	for _, p := range gone {
		for _, q := range come {
			if p.Plugin == q.Plugin && slices.ContainsFunc(p.Bound, func(at string) bool { return slices.Contains(q.Bound, at) }) && !reflect.DeepEqual(p.Grants, q.Grants) {
				events = append(events, audit.Event{Kind: audit.GrantsChanged, Fields: struct {
					Plugin string       `json:"plugin"`
					Bound  []string     `json:"bound"`
					Old    model.Grants `json:"old"`
					New    model.Grants `json:"new"`
				}{p.Plugin, q.Bound, p.Grants, q.Grants}})
			}
		}
	}
	return events
}

// recordRollout records a step of the rollout of a version, before it is taken, or that it
// was not, and why.
func (h *Host) recordRollout(step string, e rollout.Entry, why error) error {
	fields := map[string]any{"step": step, "plugin": e.Plugin, "version": e.Version, "old": e.Base, "new": e.Digest, "serves": e.Share.String()}
	if e.Reason != "" {
		fields["reason"] = e.Reason
	}
	if why != nil {
		fields["refused"] = told(why)
	}
	return h.record(audit.Event{Kind: audit.Rollout, Fields: fields})
}

// Record puts a call of the admin plane into the audit log.
func (v view) Record(remote, method, path string) error {
	return v.h.record(audit.Event{Kind: audit.AdminCall, Fields: map[string]any{"remote": remote, "method": method, "path": path}})
}

// auditStatus is the head of the audit log, for who wants to know later that nothing of it
// was cut off.
func (h *Host) auditStatus() control.Audit {
	st := control.Audit{File: h.options.Config.Scrub(auditFile(h.options.Config.DataDir)), Instance: h.audit.Instance(), Head: h.audit.Head().String()}
	if err := h.audit.Err(); err != nil {
		st.Error = "no change takes effect: " + h.options.Config.Scrub(err.Error())
	}
	return st
}

// auditGauges are the head as numbers: a label with the hash would be a new series each time.
func (h *Host) auditGauges() []observe.Gauge {
	return []observe.Gauge{
		{Name: "audit_seq", Help: "Lines in the audit log.", Value: func() float64 { return float64(h.audit.Head().Seq) }},
		{Name: "audit_head", Help: "The first 48 bits of the hash of the audit log's last line, as a number.", Value: func() float64 {
			hash := h.audit.Head().Hash
			return float64(binary.BigEndian.Uint64(hash[:8]) >> 16)
		}},
		{Name: "audit_failing", Help: "1 when the audit log cannot be written, so that no change takes effect.", Value: func() float64 {
			if h.audit.Err() != nil {
				return 1
			}
			return 0
		}},
	}
}
