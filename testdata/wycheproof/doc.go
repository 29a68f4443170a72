// Package wycheproof runs C2SP's Wycheproof vectors through the primitives that
// envelopes are made with. It is a module of its own, so that nobody who
// imports fieldcrypt downloads the vectors.
package wycheproof
