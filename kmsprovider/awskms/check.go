package awskms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// Check implements kmsprovider.Checker with kms:DescribeKey: the root key
// exists, is enabled and is a symmetric encryption key, else the error is
// kmsprovider.ErrKeyUnusable and says which of these it isn't. It doesn't tell
// whether the caller may use the key. It is safe for concurrent use.
func (p *Provider) Check(ctx context.Context, rootKey string) error {
	uri, arn, err := p.sealing(ctx, opCheck, rootKey)
	if err != nil {
		return err
	}
	var key *types.KeyMetadata
	err = p.call(ctx, opCheck, uri, func(ctx context.Context) error {
		out, err := p.client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(arn)})
		if err != nil {
			return err
		}
		if key = out.KeyMetadata; key == nil {
			return answerError("it describes no key")
		}
		return answeredFor(key.Arn, arn)
	})
	if err != nil {
		return err
	}
	if defect := defectOf(key); defect != "" {
		return refuse(opCheck, uri, kmsprovider.ErrKeyUnusable, defect)
	}
	return nil
}

// defectOf says why a key can't be a root key, or "".
func defectOf(key *types.KeyMetadata) string {
	switch key.KeyState {
	case types.KeyStateEnabled, types.KeyStateUpdating: // Updating: a primary region on the move; the key works
	case types.KeyStateDisabled:
		return "the root key is disabled: enable it with kms:EnableKey"
	case types.KeyStatePendingDeletion, types.KeyStatePendingReplicaDeletion:
		when := ""
		if key.DeletionDate != nil {
			when = " on " + key.DeletionDate.UTC().Format("2006-01-02")
		}
		return "the root key is pending deletion" + when + ": cancel that with kms:CancelKeyDeletion, or every data key under it is lost"
	case types.KeyStatePendingImport:
		return "the root key has no key material yet: import it"
	case types.KeyStateUnavailable:
		return "the root key's custom key store is not connected"
	default:
		return "the root key is in the state " + printable(string(key.KeyState)) + ", in which it can't be used"
	}
	if key.KeyUsage != types.KeyUsageTypeEncryptDecrypt {
		return "the root key is made for " + printable(string(key.KeyUsage)) + ": " + wantedKind
	}
	if key.KeySpec != types.KeySpecSymmetricDefault {
		return "the root key is of the kind " + printable(string(key.KeySpec)) + ": " + wantedKind
	}
	return ""
}
