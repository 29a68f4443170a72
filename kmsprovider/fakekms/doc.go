// Package fakekms is AWS KMS for tests: a server within the process that speaks
// KMS's protocol (AWS JSON 1.1) to the real SDK client, encrypts with
// AES-256-GCM, and fails on demand in all the ways that a test should try.
//
// A test needs two functions. [Start] gives a server that ends with the test,
// at a loopback address; [New] gives one without a socket, which works inside a
// [testing/synctest] bubble, where half an hour of outage takes no time.
// Either way, [Server.Config] is the configuration of an SDK client of it:
//
//	srv := fakekms.Start(t)
//	keyARN := srv.CreateKey(fakekms.KeyOptions{})
//	client := kms.NewFromConfig(srv.Config())
//
// # What it does as KMS does
//
// Symmetric encryption keys: disabled, enabled, deleted after a waiting period,
// rotated, of one region or of several, of another account, behind an alias.
// The codes and HTTP statuses of errors, the limits on lengths, and the length
// of ciphertexts: 152 bytes more than the plaintext, so 184 for a key of 32.
// The encryption context is bound in the form of
// [kmsprovider.EncryptionContext.Canonical]: {"a":"bc"} isn't {"ab":"c"}.
// Clients may call CancelKeyDeletion, CreateAlias, CreateKey, Decrypt,
// DescribeKey, DisableKey, EnableKey, Encrypt, GenerateDataKey,
// GenerateDataKeyWithoutPlaintext, ReEncrypt, ReplicateKey, RotateKeyOnDemand,
// ScheduleKeyDeletion and UpdateAlias; the methods of [Server] arrange the same
// without a call.
//
// # What it does on demand
//
// [Server.Inject] makes calls slow, hang, fail or be answered with nonsense:
// all of them, or those of some operations, keys or callers, or those above a
// quota, or at a rate that a seed repeats. [Server.Deny] takes a permission
// away. [Server.Calls], [Server.Count] and [Server.MaxInFlight] tell what was
// called.
//
// # What it doesn't do
//
// It keeps everything in memory and protects nothing: it is for tests alone.
// Signatures must have their form (AWS Signature Version 4) but aren't
// verified. There are no policies, grants, tags, lists of keys, or
// cryptography with asymmetric and HMAC keys, which only exist to be refused.
package fakekms
