// Package casetest runs a plugin's case files against its code in this process, and holds
// its schema and README against them. Start at [Run].
package casetest
