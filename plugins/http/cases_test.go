package main

import (
	"testing"

	"github.com/wasmgate/wasmgate/plugins/internal/casetest"
)

func TestCases(t *testing.T) { casetest.Run(t) }

func TestDocumented(t *testing.T) { casetest.Documented(t) }
