// Package tinklegacy holds what this library writes with Tink to what Tink wrote
// and read under its former path, github.com/google/tink/go, which was archived
// in 2024. It is a module of its own: next to that path, applications that use
// Google's clients can't be tidied.
package tinklegacy
