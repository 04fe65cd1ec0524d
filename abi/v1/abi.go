package abi

import (
	"iter"
	"strconv"
)

// Hook is one decision that the host delegates; 0 stands in the records of capabilities.
type Hook uint16

// Export is the name of the guest's export; empty for an unknown hook.
func (h Hook) Export() string {
	if int(h) < len(hookTable) {
		return hookTable[h].export
	}
	return ""
}

// DenyStatus is the status of a deny that names none; 0 when the hook cannot deny.
func (h Hook) DenyStatus() int {
	if int(h) < len(hookTable) {
		return hookTable[h].denyStatus
	}
	return 0
}

// String is the hook's name, or its number when it is unknown.
func (h Hook) String() string { return nameOf(hookNames[:], uint64(h)) }

// HookByName is the hook of that name; false when there is none.
func HookByName(name string) (Hook, bool) { return byName[Hook](hookNames[:], name) }

// Hooks is every hook, in the order of their ids.
func Hooks() iter.Seq[Hook] {
	return func(yield func(Hook) bool) {
		for h := HookConfigure; int(h) < len(hookTable); h++ {
			if !yield(h) {
				return
			}
		}
	}
}

// Type is the encoding of a field; 0 is no type.
type Type uint16

// String is the type's name, or its number when it is unknown.
func (t Type) String() string { return nameOf(typeNames[:], uint64(t)) }

// ID is the id of a field: of a request or of a result.
type ID interface {
	Field | ResultField
	// Type is the field's type; 0 when the id is unknown.
	Type() Type
	// In tells whether the field belongs to a hook.
	In(Hook) bool
	String() string
}

// Field is a field of a request: what the host tells the guest.
type Field uint16

// Type is the field's type; 0 when the id is unknown.
func (f Field) Type() Type {
	if int(f) < len(fieldTypes) {
		return fieldTypes[f]
	}
	return 0
}

// In tells whether a request of the hook may hold the field.
func (f Field) In(h Hook) bool { return int(f) < len(fieldHooks) && fieldHooks[f]>>h&1 != 0 }

// String is the field's name, or its number when it is unknown.
func (f Field) String() string { return nameOf(fieldNames[:], uint64(f)) }

// FieldByName is the request field of that name; false when there is none.
func FieldByName(name string) (Field, bool) { return byName[Field](fieldNames[:], name) }

// ResultField is a field of a result: what the guest answers.
type ResultField uint16

// Type is the field's type; 0 when the id is unknown.
func (f ResultField) Type() Type {
	if int(f) < len(resultTypes) {
		return resultTypes[f]
	}
	return 0
}

// In tells whether the field means something in a result of the hook.
func (f ResultField) In(h Hook) bool { return int(f) < len(resultHooks) && resultHooks[f]>>h&1 != 0 }

// String is the field's name, or its number when it is unknown.
func (f ResultField) String() string { return nameOf(resultNames[:], uint64(f)) }

// ResultFieldByName is the result field of that name; false when there is none.
func ResultFieldByName(name string) (ResultField, bool) {
	return byName[ResultField](resultNames[:], name)
}

// Decision is what a hook decided. The zero value is [DecisionContinue].
type Decision uint64

// String is the decision's name, or its number when it is unknown.
func (d Decision) String() string { return nameOf(decisionNames[:], uint64(d)) }

// DecisionByName is the decision of that name; false when there is none.
func DecisionByName(name string) (Decision, bool) { return byName[Decision](decisionNames[:], name) }

// Scope is for how many requests a result holds. The zero value is [ScopeRequest].
type Scope uint64

// String is the scope's name, or its number when it is unknown.
func (s Scope) String() string { return nameOf(scopeNames[:], uint64(s)) }

// ScopeByName is the scope of that name; false when there is none.
func ScopeByName(name string) (Scope, bool) { return byName[Scope](scopeNames[:], name) }

// Op is the operation of an edit.
type Op uint16

// String is the operation's name, or its number when it is unknown.
func (o Op) String() string { return nameOf(opNames[:], uint64(o)) }

// OpByName is the operation of that name; false when there is none.
func OpByName(name string) (Op, bool) { return byName[Op](opNames[:], name) }

// CallFlags is a sum of flags of a call plan.
type CallFlags uint64

// String is the name of a single flag, or the sum's number.
func (f CallFlags) String() string { return nameOf(callFlagNames[:], uint64(f)) }

// CallFlagByName is the flag of that name; false when there is none.
func CallFlagByName(name string) (CallFlags, bool) { return byName[CallFlags](callFlagNames[:], name) }

// BodyMode is how much of a body a hook gets. The zero value is [BodyNone].
type BodyMode uint8

// String is the mode's name, or its number when it is unknown.
func (m BodyMode) String() string { return nameOf(bodyModeNames[:], uint64(m)) }

// Status is what a capability answers; negative is a failure. In an i64 answer a value
// of zero or more is a length.
type Status int32

// String is the status's name, or its number when it is unknown.
func (s Status) String() string {
	if name := statusNames[s]; name != "" {
		return name
	}
	return strconv.Itoa(int(s))
}

// StatusByName is the status of that name; false when there is none.
func StatusByName(name string) (Status, bool) {
	for s, n := range statusNames {
		if n == name {
			return s, true
		}
	}
	return 0, false
}

func nameOf(names []string, id uint64) string {
	if id < uint64(len(names)) && names[id] != "" {
		return names[id]
	}
	return strconv.FormatUint(id, 10)
}

func byName[T ~uint8 | ~uint16 | ~uint64](names []string, name string) (T, bool) {
	for i, n := range names {
		if n == name && n != "" {
			return T(i), true
		}
	}
	return 0, false
}
