// Api-key is the built-in that says where a request carries its API key; the host looks
// the key up. README.md tells more.
package main
