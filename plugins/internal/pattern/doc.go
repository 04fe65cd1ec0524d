// Package pattern matches a selection pattern of an integration response against a status
// code: the part of Java's regular expressions that such patterns use, always against the
// whole text, without the megabyte that package regexp adds to a guest.
//
// It takes literals, ., classes, \d \w \s and their negations, groups, |, and * + ? {n,m};
// look-around, back-references, flags and anchors within a pattern are refused. Start at [Compile].
package pattern
