package main

import (
	"net/http"

	"github.com/spf13/cobra"
)

func (a *app) reload() *cobra.Command {
	return a.admin("reload", "Make the running gateway load its files now, and tell what came of it", http.MethodPost)
}
