package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/wasmgate/wasmgate/host"
)

// adminTimeout bounds one call; a reload may have to compile plugins.
const adminTimeout = 2 * time.Minute

// admin gives the command use that sends method to /admin/v1/{use} of the running
// gateway and prints its answer.
func (a *app) admin(use, short, method string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, refused, err := a.callAdmin(cmd, method, use, nil)
			if err != nil {
				return err
			}
			err = a.print(cmd.OutOrStdout(), json.RawMessage(answer), func(w io.Writer) error {
				return writeText(w, answer)
			})
			if err == nil && refused {
				return errReported
			}
			return err
		},
	}
}

// callAdmin gives the answer's JSON, which says why when the gateway refused.
func (a *app) callAdmin(cmd *cobra.Command, method, what string, body []byte) (answer []byte, refused bool, err error) {
	config, ignored, err := host.LoadAdmin(a.sources())
	if ignored != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "wasmgate: %s: not read, so its listen.admin and data_dir do not count: %v\n", a.file, ignored)
	}
	if err != nil {
		return nil, false, err
	}
	token, err := os.ReadFile(filepath.Join(config.DataDir, "admin.token"))
	if err != nil {
		return nil, false, errors.New(config.Scrub(fmt.Sprintf("%s: read the admin token, which run makes: %v", what, err)))
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+config.Listen.Admin+"/admin/v1/"+what, bytes.NewReader(body))
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", what, err)
	}
	req.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	// No proxy from the environment: it would be shown the token.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, false, errors.New(config.Scrub(fmt.Sprintf("%s: is the gateway running? %v", what, err)))
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, false, fmt.Errorf("%s: read the answer: %w", what, err)
	}
	if !json.Valid(answer) {
		return nil, false, fmt.Errorf("%s: %s answered %s, which is not JSON", what, config.Scrub(config.Listen.Admin), resp.Status)
	}
	return answer, resp.StatusCode >= 300, nil
}

// writeText writes JSON as block style YAML, which is good to read and keeps its order.
func writeText(w io.Writer, data []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	blockStyle(&document)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&document); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return enc.Close()
}

func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		blockStyle(child)
	}
}
