// Package fakekms is AWS KMS for tests: an HTTP server within the process that
// speaks KMS's protocol (AWS JSON 1.1) to the real SDK client, really encrypts,
// and can be told to fail.
package fakekms
