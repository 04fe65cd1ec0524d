package guest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// trapError is a trap with the guest's functions that led to it, on one line as logs want
// it. It unwraps to the engine's error.
type trapError struct {
	cause  string
	frames []string // the innermost first
	err    error
}

// Error is the cause and the functions.
func (t *trapError) Error() string {
	if len(t.frames) == 0 {
		return t.cause
	}
	return t.cause + " (in " + strings.Join(t.frames, ", called by ") + ")"
}

// Unwrap is the engine's error.
func (t *trapError) Unwrap() error { return t.err }

// Stack is the guest's functions that led to a trap, the innermost first; nil when the error
// does not tell.
func Stack(err error) []string {
	if t, ok := errors.AsType[*trapError](err); ok {
		return t.frames
	}
	return nil
}

const (
	maxFrames    = 12
	maxFrameName = 120 // runes
	traceMark    = "\nwasm stack trace:\n"
)

// frameLine is a line of the engine's stack trace: module, which is unnamed here, function,
// types of parameters and results.
var frameLine = regexp.MustCompile(`^\t\.(.*?)\([a-z0-9,]*\)(?: [a-z0-9(),]*)?$`)

// traced makes a trapError of the engine's error; cause takes the place of its own words when
// it is not empty. Names are a stranger's text: they are cut, and hold no control characters.
func traced(cause string, err error) error {
	head, trace, found := strings.Cut(err.Error(), traceMark)
	if !found || strings.Contains(trace, "Go runtime stack trace:") { // a fault of the host shows all of it
		return fmt.Errorf("%s%w", prefix(cause), err)
	}
	if cause == "" {
		cause = head
	}
	t := &trapError{cause: cause, err: err}
	last, times := "", 0
	end := func() {
		if times > 1 {
			t.frames[len(t.frames)-1] = fmt.Sprintf("%s %d times", last, times)
		}
	}
	for line := range strings.Lines(trace) {
		m := frameLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		if m[1] == last {
			times++
			continue
		}
		end()
		if len(t.frames) == maxFrames {
			t.frames = append(t.frames, "others")
			return t
		}
		last, times = m[1], 1
		t.frames = append(t.frames, printable(last))
	}
	end()
	return t
}

func prefix(cause string) string {
	if cause == "" {
		return ""
	}
	return cause + ": "
}

func printable(name string) string {
	runes := []rune(name)
	if len(runes) > maxFrameName {
		runes = append(runes[:maxFrameName], '…')
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = '?'
		}
	}
	return string(runes)
}
