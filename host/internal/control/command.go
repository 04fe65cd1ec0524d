package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Command is one path that the host answers.
type Command struct {
	// Method is GET, or POST for what changes something.
	Method string
	// Path is below /admin/v1/.
	Path string
	// MaxBody is the longest body of a request, in bytes; a longer one gets 413.
	MaxBody int64
	// Urgent is done even when it cannot be recorded.
	Urgent bool
	// Run answers a request with what is written as JSON, status 200. An error is told in full,
	// status 422. ctx does not end when the client goes away: what was begun is not left
	// half done.
	Run func(ctx context.Context, body []byte) (answer any, err error)
}

func (c Command) serve(s *Server, w http.ResponseWriter, r *http.Request) {
	// A command may compile plugins, and its body may be one.
	for _, set := range []func(time.Time) error{http.NewResponseController(w).SetWriteDeadline, http.NewResponseController(w).SetReadDeadline} {
		if err := set(time.Now().Add(commandTimeout)); err != nil {
			s.o.Log.Warn("admin command keeps its deadline", "path", c.Path, "error", err)
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, c.MaxBody))
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		s.refuse(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("got a body of more than %d bytes", c.MaxBody))
		return
	}
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, "the body ended early")
		return
	}
	if c.Method != http.MethodGet {
		s.o.Log.Info("admin command", "path", c.Path, "remote", r.RemoteAddr)
	}
	answer, err := c.Run(context.WithoutCancel(r.Context()), body)
	if err != nil {
		write(w, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
		return
	}
	write(w, http.StatusOK, answer)
}

const commandTimeout = 5 * time.Minute
