package main

// enum is a list of numbers of the contract, as every SDK names them.
type enum struct {
	name, doc string
	entries   []named
}

// enums are what an SDK needs, in order.
func (s *source) enums() []enum {
	return []enum{
		{"type", "The types of fields.", s.Types},
		{"hook", "The hooks.", hookNames(s.Hooks)},
		{"field", "The fields of a request.", fieldNames(s.RequestFields)},
		{"result", "The fields of a result.", fieldNames(s.ResultFields)},
		{"decision", "The decisions.", s.Decisions},
		{"scope", "The scopes.", s.Scopes},
		{"op", "The operations of an edit.", s.EditOps},
		{"call", "The flags of a call plan.", s.CallFlags},
		{"status", "What a capability answers.", s.Statuses},
	}
}

// constants are the numbers that belong to no list.
func (s *source) constants() limits {
	return append(limits{
		{"magic", int64(s.Magic)},
		{"version", int64(s.Record.Version)},
		{"header_bytes", int64(s.Record.HeaderBytes)},
		{"entry_bytes", int64(s.Record.EntryBytes)},
	}, s.Limits...)
}
