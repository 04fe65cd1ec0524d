// Package field says which header fields a config may name: a name that is no token
// (RFC 9110, 5.1) or a value with a control byte never becomes an edit, and neither does a
// field that frames the message or belongs to one connection.
package field
