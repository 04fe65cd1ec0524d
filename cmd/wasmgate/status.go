package main

import (
	"net/http"

	"github.com/spf13/cobra"
)

func (a *app) status() *cobra.Command {
	return a.admin("status", "Tell what the running gateway serves and what it refused", http.MethodGet)
}
