package mapping

// Memo keeps what was made of an integration's text, for plans that are asked for again.
// The zero value is empty.
type Memo[T any] struct{ made map[string]T }

// memoLimit bounds the routes that are kept; one more and all are forgotten.
const memoLimit = 512

// Of is what make makes of text, made once.
func (m *Memo[T]) Of(text []byte, make func(text string) T) T {
	if v, ok := m.made[string(text)]; ok {
		return v
	}
	if m.made == nil || len(m.made) >= memoLimit {
		m.made = map[string]T{}
	}
	key := string(text)
	v := make(key)
	m.made[key] = v
	return v
}
