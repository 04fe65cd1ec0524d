package host

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/control"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/throttle"
	"github.com/wasmgate/wasmgate/host/internal/tls"
)

// view is the host as the admin listener sees it.
type view struct{ h *Host }

// Reload loads everything again.
func (v view) Reload(ctx context.Context) error { return v.h.Reload(ctx) }

// Status is what the host serves and what it refused.
func (v view) Status() control.Status {
	h := v.h
	h.mu.Lock()
	s, door, reload, ending := h.snapshot, h.door, h.reload, h.ending
	h.mu.Unlock()
	st := control.Status{Version: h.options.Version, Started: h.started, Ready: !ending, LastReload: reload,
		Snapshot: control.Snapshot{Digest: "sha256:" + hex.EncodeToString(s.digest[:]), Loaded: s.loaded}, Warnings: s.warnings}
	st.Parts = append(st.Parts, control.Part{Name: "config", Ready: true, Detail: reload.Error})
	st.Audit = h.auditStatus()
	// The gateway serves on; what it refuses meanwhile are changes.
	st.Parts = append(st.Parts, control.Part{Name: "audit", Ready: true, Detail: st.Audit.Error})
	if ending {
		st.Parts = append(st.Parts, control.Part{Name: "listeners", Detail: "the gateway stops"})
	}
	for _, a := range s.apis {
		st.Snapshot.Routes += len(a.routes)
		st.APIs = append(st.APIs, control.API{ID: a.api.ID, Name: a.api.Name, Protocol: string(a.api.Protocol), Stage: a.api.Stage,
			Domains: a.api.Domains, BasePath: a.api.BasePath, Routes: len(a.routes), File: h.options.Config.Scrub(a.api.Position.File)})
	}
	st.Policies = s.describe(h.options.Config.Scrub)
	st.Parts = append(st.Parts, h.certificates(&st, door))
	return st
}

// certificates tells of every certificate. One that is not there yet does not make the
// gateway unready: it serves what it has.
func (h *Host) certificates(st *control.Status, d *door) control.Part {
	part := control.Part{Name: "certificates", Ready: true}
	var details []string
	for _, c := range d.certs.Status() {
		one := control.Certificate{Names: c.Names, Source: c.Source}
		if !c.NotAfter.IsZero() {
			one.NotAfter = &c.NotAfter
		}
		if c.Err != nil {
			one.Error = h.options.Config.Scrub(c.Err.Error())
			details = append(details, strings.Join(c.Names, " ")+": "+one.Error)
		}
		st.Certificates = append(st.Certificates, one)
	}
	part.Detail = strings.Join(details, "; ")
	return part
}

// describe is every policy of s with where it is bound.
func (s *snapshot) describe(scrub func(string) string) []control.Policy {
	var list []control.Policy
	for _, p := range s.policies {
		bound := s.boundTo(p)
		if p.background {
			bound = "gateway"
		}
		made := s.plugins.provenance(p.digest)
		list = append(list, control.Policy{Plugin: p.Name, Digest: "sha256:" + hex.EncodeToString(p.digest[:]), Source: scrub(made.source), Signer: made.verdict.KeyID,
			Hooks: p.hooks, Capabilities: p.capabilities, Isolation: p.isolation, Bound: bound})
	}
	return list
}

// boundTo is the APIs that use p.
func (s *snapshot) boundTo(p *boundPolicy) string {
	var ids []string
	for _, a := range s.apis {
		if slices.Contains(a.bound, p) {
			ids = append(ids, a.api.ID)
		}
	}
	return strings.Join(ids, " ")
}

func (h *Host) certificateStatus() []tls.CertStatus {
	h.mu.Lock()
	d := h.door
	h.mu.Unlock()
	if d == nil {
		return nil
	}
	return d.certs.Status()
}

func (h *Host) certificateMetrics() []observe.Certificate {
	var list []observe.Certificate
	for _, c := range h.certificateStatus() {
		list = append(list, observe.Certificate{Names: c.Names, NotAfter: c.NotAfter})
	}
	return list
}

func (h *Host) buckets() *throttle.Store {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.core.current.buckets
}

// gauges are read at each scrape.
func (h *Host) gauges() []observe.Gauge {
	return append(h.auditGauges(), []observe.Gauge{
		{Name: "throttle_buckets", Help: "Token buckets in memory.", Value: func() float64 { return float64(h.buckets().Len()) }},
		{Name: "throttle_spilled", Help: "Draws that found no room for a bucket of their own.", Value: func() float64 { return float64(h.buckets().Spilled()) }},
		{Name: "cache_bytes", Help: "Bytes in the response cache.", Value: func() float64 {
			h.mu.Lock()
			s := h.snapshot
			h.mu.Unlock()
			if s == nil {
				return 0
			}
			return float64(s.cache.value.Bytes())
		}},
		{Name: "upstream_connections", Help: "Open connections to upstreams.", Value: func() float64 {
			h.mu.Lock()
			s := h.snapshot
			h.mu.Unlock()
			total := 0
			if s != nil {
				s.forward.value.Connections(func(_ string, open, _ int) { total += open })
			}
			return float64(total)
		}},
	}...)
}
