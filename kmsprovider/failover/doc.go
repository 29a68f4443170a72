// Package failover calls one of several key providers that can do the same: for
// instance one for the region of a multi-Region key of AWS KMS and one for each
// region with a replica of it.
//
//	frankfurt, err := awskms.New(cfg, nil)
//	dublin, err := awskms.New(inDublin, &awskms.Options{Replicas: map[string]string{key: replica}})
//	provider, err := failover.New([]kmsprovider.Provider{frankfurt, dublin}, nil)
//
// [New] makes a [Provider], which is called like any other. Which of its
// providers may be called for whose data is not decided here: give it only those
// that may. Package residency does.
//
// # What it does
//
// The first provider is asked. The next one is asked too when that one is
// unavailable or throttled, or hasn't answered for [Options.Patience]; the first
// to answer wins, and the others are cancelled. After [Options.Failures] calls in
// a row in which a provider was unavailable, or slower than the next and its
// patience, it is asked last. From then on, one call every [Options.ProbeAfter]
// asks it first again; when it answers, it is back in its place.
//
// What is known of a provider is known of it as a whole, whichever root key it was
// called for. Where one of several root keys is unavailable at a provider and the
// others aren't, as with a key in a key store outside AWS, its failures may get the
// provider asked last for all of them, and the others' answers keep it in its
// place, where each call for that one loses time. Root keys that fail by
// themselves have a Provider each.
//
// # What it doesn't do
//
// A no is a no: an answer of the class [kmsprovider.ErrDenied],
// [kmsprovider.ErrKeyUnusable] or [kmsprovider.ErrInvalidCiphertext] is final,
// whoever gives it, and it counts as an answer. So a key that is disabled where
// it is asked for first stops at once. Where all providers must say no, disable
// it in each: while the first is away, the next one decides.
//
// It sets no bound of its own on a call: what the providers take, and the
// patience for each, adds up. With awskms, that is [awskms.Options.UnreachableAfter]
// and the patience for each provider but the last.
//
// [awskms.Options.UnreachableAfter]: https://pkg.go.dev/github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms#Options
package failover
