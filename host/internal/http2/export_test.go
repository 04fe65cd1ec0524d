package http2

import (
	"net"
	"testing"
)

// Case is a case of testdata/cases for the test of the whole gateway.
type Case struct{ testCase }

// Cases are all of them.
func Cases(t *testing.T) (all []Case) {
	for _, k := range loadCases(t) {
		all = append(all, Case{k})
	}
	return all
}

// Title is the file's and the case's name.
func (k *Case) Title() string { return k.file + "/" + k.name }

// Run plays the case and gives what is to reach the upstream.
func (k *Case) Run(t *testing.T, conn net.Conn) []string {
	k.run(t, speak(t, conn))
	return k.seen
}
