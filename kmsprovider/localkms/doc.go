// Package localkms is a key provider in a file: no service, no account, no
// network. It is for development, tests, and programs that run on one machine
// and for which a secret file is good enough.
//
// [Open] opens the key file, or makes it, and that is all there is to set up:
//
//	kms, err := localkms.Open("/var/lib/crm/root-keys.json")
//	dk, err := kms.GenerateDataKey(ctx, kms.RootKey(), ec)
//
// Where data exists already, use [OpenExisting]: it fails where Open would
// make a new file, under which the old data keys never open again.
//
// # What it is not
//
// It is no key management service. There is no hardware module, no audit log
// and no access control: whoever reads the file reads every data key, and the
// root keys are in the memory of each process that opened it. Nothing is
// deleted with a waiting period, and nobody can switch a key off. Lose the
// file, and everything sealed under it is lost: back it up, apart from the
// database.
//
// # A lost or misplaced key file
//
// A refusal that names a local-kms URI which isn't this key file's means another
// key file: lost, restored elsewhere, or another working directory? To allow
// the old URI too opens nothing, since the root key is in its own file alone.
// Find that file or restore it from a backup. [OpenExisting] tells at start-up,
// where [Open] makes a new file and the refusal comes with the first old record.
//
// # Root keys
//
// A key file has a random ID and holds root keys by name. A root key's URI is
//
//	local-kms://<ID of the file>/<name>
//
// so that it stays the same when the file is moved, and is refused by any
// other key file. Every file has the root key "default", whose URI
// [Provider.RootKey] returns; [Provider.AddRootKey] adds more, for instance
// one for each tenant.
//
// [Provider.Rotate] gives a root key a new version. New data keys are wrapped
// under the newest version and each wrapped key carries the number of its own,
// so that old ones go on opening; [Provider.Rewrap] brings one under the newest
// version. Versions are never removed.
//
// Any number of processes may use one file at the same time. A rotation or a
// new root key made by one is seen by the others without a restart.
//
// # The file
//
// The file is JSON with the members format, version, id and root_keys, and has
// at most 1 MiB, which is enough for some 5,000 root keys. It is readable and
// writable by its owner only (mode 0600); a file that others can use is
// refused, as are symbolic links. (On Windows, access is what the folder's
// permissions say, and isn't checked.) It is replaced as a whole, by a rename,
// so that a reader or a crash never sees half of it. A lock file beside it,
// with .lock appended to its name, keeps two writers apart and may be left
// where it is. Locks and renames need a local file system.
//
// A wrapped key has 65 bytes: the format 0x01, the version of the root key as a
// 4-byte big-endian number, and what AES-256-GCM (NIST SP 800-38D) makes of the
// data key: a random 12-byte nonce, 32 bytes, a 16-byte tag. Its associated data
// is the label "fieldcrypt/v1 local-kms", the length (4 bytes, big-endian) and
// the bytes of the root key's URI, the version again, and the encryption context
// in its canonical form ([kmsprovider.EncryptionContext.Canonical]). A version
// of a root key may wrap 2^32 data keys.
//
// # Moving to AWS KMS
//
// Root keys can't be carried over, but data keys can: [kmsprovider.Rewrap]
// unwraps each with the file and has AWS KMS wrap it, which touches no row. Such
// a data key has been in reach of whoever could read the file, now or in a
// backup. Where that matters, name the AWS root key as the one that wraps for
// each scope, keep this provider for reading, and re-encrypt the rows in a
// sweep; each row is then under a data key that AWS KMS made. When nothing names
// a local-kms URI any more, in backups too, the file can go.
package localkms
