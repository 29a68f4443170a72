package awskms

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// maxWrapped is the longest ciphertext that KMS takes, in bytes.
const maxWrapped = 6144

// GenerateDataKey implements kmsprovider.Provider with kms:GenerateDataKey.
// rootKey is the URI of a key or an alias; the result names the key.
func (p *Provider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if err := checkContext(opGenerate, rootKey, ec); err != nil {
		return kmsprovider.DataKey{}, err
	}
	uri, arn, err := p.sealing(ctx, opGenerate, rootKey)
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	dk := kmsprovider.DataKey{RootKey: uri}
	err = p.call(ctx, opGenerate, uri, func(ctx context.Context) error {
		out, err := p.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
			KeyId:             aws.String(arn),
			KeySpec:           types.DataKeySpecAes256,
			EncryptionContext: ec,
		})
		if err != nil {
			return err
		}
		defer clear(out.Plaintext)
		if err := answeredFor(out.KeyId, arn); err != nil {
			return err
		}
		if n := len(out.Plaintext); n != kmsprovider.DataKeySize {
			return answerError(fmt.Sprintf("the data key has %d bytes instead of %d", n, kmsprovider.DataKeySize))
		}
		if err := checkWrapped(out.CiphertextBlob); err != nil {
			return err
		}
		dk.Plaintext, dk.Wrapped = bytes.Clone(out.Plaintext), out.CiphertextBlob
		return nil
	})
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	return dk, nil
}

// Unwrap implements kmsprovider.Provider with kms:Decrypt. rootKey is the URI
// of a key, never of an alias; wrapped is 1 to 6,144 bytes.
func (p *Provider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if err := checkContext(opDecrypt, rootKey, ec); err != nil {
		return nil, err
	}
	arn, err := p.opening(opDecrypt, rootKey)
	if err != nil {
		return nil, err
	}
	if err := checkWrapped(wrapped); err != nil {
		return nil, refuse(opDecrypt, rootKey, kmsprovider.ErrInvalidCiphertext, err.Error())
	}
	var plain []byte
	err = p.call(ctx, opDecrypt, rootKey, func(ctx context.Context) error {
		out, err := p.client.Decrypt(ctx, &kms.DecryptInput{
			KeyId:             aws.String(arn),
			CiphertextBlob:    wrapped,
			EncryptionContext: ec,
		})
		if err != nil {
			return err
		}
		defer clear(out.Plaintext)
		if err := answeredFor(out.KeyId, arn); err != nil {
			return err
		}
		switch n := len(out.Plaintext); n {
		case kmsprovider.DataKeySize:
		case 0:
			return answerError("it holds no data key")
		default:
			// KMS did its part: somebody had it wrap something else. Another
			// attempt would give the same.
			return contentError(n)
		}
		plain = bytes.Clone(out.Plaintext)
		return nil
	})
	return plain, err
}

// Rewrap implements kmsprovider.Rewrapper with kms:ReEncrypt, in which the data
// key stays inside KMS. fromRootKey is the URI of a key, toRootKey of a key or
// an alias.
func (p *Provider) Rewrap(ctx context.Context, fromRootKey string, wrapped []byte, toRootKey string, ec kmsprovider.EncryptionContext) (rewrapped []byte, rootKey string, err error) {
	both := fromRootKey + " to " + toRootKey
	if err := checkContext(opReEncrypt, both, ec); err != nil {
		return nil, "", err
	}
	from, err := p.opening(opReEncrypt, fromRootKey)
	if err != nil {
		return nil, "", err
	}
	if err := checkWrapped(wrapped); err != nil {
		return nil, "", refuse(opReEncrypt, both, kmsprovider.ErrInvalidCiphertext, err.Error())
	}
	uri, to, err := p.sealing(ctx, opReEncrypt, toRootKey)
	if err != nil {
		return nil, "", err
	}
	err = p.call(ctx, opReEncrypt, fromRootKey+" to "+uri, func(ctx context.Context) error {
		out, err := p.client.ReEncrypt(ctx, &kms.ReEncryptInput{
			SourceKeyId:                  aws.String(from),
			SourceEncryptionContext:      ec,
			DestinationKeyId:             aws.String(to),
			DestinationEncryptionContext: ec,
			CiphertextBlob:               wrapped,
		})
		if err != nil {
			return err
		}
		if err := answeredFor(out.SourceKeyId, from); err != nil {
			return err
		}
		if err := answeredFor(out.KeyId, to); err != nil {
			return err
		}
		rewrapped = out.CiphertextBlob
		return checkWrapped(rewrapped)
	})
	if err != nil {
		return nil, "", err
	}
	return rewrapped, uri, nil
}

// Wrap implements kmsprovider.Wrapper with kms:Encrypt, for a data key that
// another key service made. rootKey is the URI of a key or an alias; plaintext is
// 32 bytes.
func (p *Provider) Wrap(ctx context.Context, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) (wrapped []byte, canonical string, err error) {
	if err := checkContext(opEncrypt, rootKey, ec); err != nil {
		return nil, "", err
	}
	if n := len(plaintext); n != kmsprovider.DataKeySize {
		return nil, "", refuse(opEncrypt, rootKey, kmsprovider.ErrInvalidCiphertext, fmt.Sprintf("a data key has %d bytes, not %d", kmsprovider.DataKeySize, n))
	}
	uri, arn, err := p.sealing(ctx, opEncrypt, rootKey)
	if err != nil {
		return nil, "", err
	}
	err = p.call(ctx, opEncrypt, uri, func(ctx context.Context) error {
		out, err := p.client.Encrypt(ctx, &kms.EncryptInput{
			KeyId:             aws.String(arn),
			Plaintext:         plaintext,
			EncryptionContext: ec,
		})
		if err != nil {
			return err
		}
		if err := answeredFor(out.KeyId, arn); err != nil {
			return err
		}
		wrapped = out.CiphertextBlob
		return checkWrapped(wrapped)
	})
	if err != nil {
		return nil, "", err
	}
	return wrapped, uri, nil
}

func checkContext(op operation, rootKey string, ec kmsprovider.EncryptionContext) error {
	if err := ec.Validate(); err != nil {
		return refuse(op, rootKey, kmsprovider.ErrInvalidCiphertext, err.Error())
	}
	return nil
}

// answeredFor reports an answer that doesn't come from the key that was called.
func answeredFor(keyID *string, called string) error {
	if got := aws.ToString(keyID); got != called {
		return answerError(fmt.Sprintf("KMS answered for another key, %q", printable(got)))
	}
	return nil
}

func checkWrapped(wrapped []byte) error {
	if n := len(wrapped); n < 1 || n > maxWrapped {
		return answerError(fmt.Sprintf("the wrapped key has %d bytes, not 1 to %d", n, maxWrapped))
	}
	return nil
}
