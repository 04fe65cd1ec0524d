package main

import (
	"encoding/json"
	"net/http"
	"time"
)

// upstream is the service behind the gateway: it tells what it was asked.
func upstream() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := map[string]string{"hello": "from the upstream", "path": r.URL.Path, "time": time.Now().Format(time.RFC3339Nano)}
		if user := r.Header.Get("X-User"); user != "" {
			answer["user"] = user
		}
		_ = json.NewEncoder(w).Encode(answer) // an error is the client's going away
	})
}
