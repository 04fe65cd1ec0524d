package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// passwordVariable holds the password of a secret key, for CI.
const passwordVariable = "WASMGATE_KEY_PASSWORD"

// readPassword is the password of a secret key: from a file, from the environment, or typed
// at the terminal, twice when it is a new one.
func readPassword(cmd *cobra.Command, file string, fresh bool) (string, error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		return notEmpty(bytes.TrimRight(data, "\r\n"))
	}
	if text, ok := os.LookupEnv(passwordVariable); ok {
		return notEmpty([]byte(text))
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", fmt.Errorf("read password: got no terminal, want --password-file or %s", passwordVariable)
	}
	ask := func(what string) ([]byte, error) {
		fmt.Fprint(cmd.ErrOrStderr(), what, ": ")
		defer fmt.Fprintln(cmd.ErrOrStderr())
		return term.ReadPassword(int(in.Fd()))
	}
	first, err := ask("Password of the secret key")
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	if fresh {
		second, err := ask("Once more")
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		if !bytes.Equal(first, second) {
			return "", errors.New("read password: the two are not equal")
		}
	}
	return notEmpty(first)
}

func notEmpty(password []byte) (string, error) {
	if len(password) == 0 {
		return "", errors.New("read password: it is empty")
	}
	return string(password), nil
}
