// Package casetest runs a plugin's case files against its code in this process.
package casetest
