package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Case is one message and what becomes of it.
type Case struct {
	File, Name string
	Raw        []byte
	Method     string // of the request that an answer belongs to; GET unless a line "? HEAD" says otherwise
	// Status is 0 when the message is accepted.
	Status  int
	Section string // that the verdict follows from, as "RFC 9112 6.1"
	// Line is the accepted request as "METHOD authority path?query"; for answers the status.
	Line string
	Body string
	// Close is set when the connection may not be used for another message.
	Close   bool
	Fields  []string // "name: value" as they reach the upstream
	Trailer []string
}

// Load reads every file that matches pattern; it panics on a malformed one, because a
// case that is skipped in silence proves nothing.
func Load(pattern string) []Case {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		panic(fmt.Sprintf("load cases %q: no files", pattern))
	}
	var all []Case
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		for i, block := range strings.Split("\n"+string(text), "\n== ")[1:] {
			c, err := parse(block)
			if err != nil {
				panic(fmt.Sprintf("%s: case %d: %v", file, i+1, err))
			}
			c.File = filepath.Base(file)
			all = append(all, c)
		}
	}
	return all
}

func parse(block string) (Case, error) {
	lines := strings.Split(block, "\n")
	c := Case{Method: "GET"}
	c.Name, c.Section, _ = strings.Cut(lines[0], " | ")
	var raw strings.Builder
	verdicts := 0
	trailers := false
	for _, line := range lines[1:] {
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "< "):
			raw.WriteString(line[2:])
		case strings.HasPrefix(line, "? "):
			c.Method = line[2:]
		case line == "> --":
			trailers = true
		case strings.HasPrefix(line, "> "):
			text, err := unescape(line[2:])
			if err != nil {
				return c, fmt.Errorf("line %q: %w", line, err)
			}
			verdicts++
			switch {
			case verdicts == 1:
				if err := c.verdict(line[2:]); err != nil {
					return c, err
				}
			case trailers:
				c.Trailer = append(c.Trailer, fields(text)...)
			default:
				c.Fields = append(c.Fields, fields(text)...)
			}
		default:
			return c, fmt.Errorf("line %q is neither input nor verdict", line)
		}
	}
	if raw.Len() == 0 || verdicts == 0 {
		return c, fmt.Errorf("case %q has no input or no verdict", c.Name)
	}
	if c.Status == 0 && !section.MatchString(c.Section) {
		return c, fmt.Errorf("accepted case %q names section %q, want an RFC with its section", c.Name, c.Section)
	}
	bytes, err := unescape(raw.String())
	c.Raw = bytes
	return c, err
}

// fields are those of one line, which has more when it repeats a text that ends in LF.
func fields(text []byte) []string {
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func (c *Case) verdict(s string) error {
	word, rest, _ := strings.Cut(s, " ")
	if word != "ok" {
		if c.Section != "" {
			return fmt.Errorf("section %q beside the name, want it with the status", c.Section)
		}
		status, err := strconv.Atoi(word)
		c.Status, c.Section = status, rest
		return err
	}
	if before, ok := strings.CutSuffix(rest, " close"); ok {
		rest, c.Close = before, true
	}
	if line, body, ok := strings.Cut(rest, ` "`); ok {
		text, err := strconv.Unquote(`"` + body)
		if err != nil {
			return fmt.Errorf("body %q: %w", body, err)
		}
		rest, c.Body = line, text
	}
	text, err := unescape(rest)
	c.Line = string(text)
	return err
}

var section = regexp.MustCompile(`^RFC [0-9]+ [0-9.]+$`)

var repeat = regexp.MustCompile(`\\\*([0-9]+)\(([^)]*)\)`)

func unescape(s string) ([]byte, error) {
	s = repeat.ReplaceAllStringFunc(s, func(m string) string {
		parts := repeat.FindStringSubmatch(m)
		n, _ := strconv.Atoi(parts[1])
		return strings.Repeat(parts[2], n)
	})
	s = strings.ReplaceAll(strings.ReplaceAll(s, `"`, `\"`), `\0`, `\x00`)
	text, err := strconv.Unquote(`"` + s + `"`)
	return []byte(text), err
}
