package fakekms_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// generate asks for a data key and returns the error only.
func generate(t *testing.T, c *kms.Client, keyID string) error {
	t.Helper()
	_, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &keyID, KeySpec: types.DataKeySpecAes256})
	return err
}

func TestKeyNames(t *testing.T) {
	srv := pipe(t)
	c := client(srv)
	arn := srv.CreateKey(fakekms.KeyOptions{})
	id := arn[len("arn:aws:kms:eu-central-1:111122223333:key/"):]
	srv.CreateAlias("alias/crm", arn)
	foreign := srv.CreateKey(fakekms.KeyOptions{Account: "444455556666"})
	foreignID := foreign[len("arn:aws:kms:eu-central-1:444455556666:key/"):]
	for name, test := range map[string]struct{ keyID, arn, code string }{
		"ARN":                    {keyID: arn, arn: arn},
		"ID":                     {keyID: id, arn: arn},
		"alias":                  {keyID: "alias/crm", arn: arn},
		"alias ARN":              {keyID: "arn:aws:kms:eu-central-1:111122223333:alias/crm", arn: arn},
		"another account's":      {keyID: foreign, arn: foreign},
		"empty":                  {keyID: "", code: "ValidationException"},
		"too long":               {keyID: string(make([]byte, 2049)), code: "ValidationException"},
		"no such ID":             {keyID: "1234abcd-12ab-34cd-56ef-1234567890ab", code: "NotFoundException"},
		"no such alias":          {keyID: "alias/CRM", code: "NotFoundException"},
		"no such ARN":            {keyID: arn + "0", code: "NotFoundException"},
		"foreign key by ID":      {keyID: foreignID, code: "NotFoundException"},
		"foreign key missing":    {keyID: foreign + "0", code: "AccessDeniedException"},
		"foreign alias missing":  {keyID: "arn:aws:kms:eu-central-1:444455556666:alias/crm", code: "AccessDeniedException"},
		"another region":         {keyID: "arn:aws:kms:us-east-1:111122223333:key/" + id, code: "NotFoundException"},
		"ARN of a bucket":        {keyID: "arn:aws:s3:::bucket", code: "InvalidArnException"},
		"ARN without a resource": {keyID: "arn:aws:kms:eu-central-1:111122223333:", code: "InvalidArnException"},
		"ARN without an ID":      {keyID: "arn:aws:kms:eu-central-1:111122223333:key/", code: "InvalidArnException"},
		"ARN of a grant":         {keyID: "arn:aws:kms:eu-central-1:111122223333:grant/" + id, code: "InvalidArnException"},
		"ARN of no account":      {keyID: "arn:aws:kms:eu-central-1::key/" + id, code: "InvalidArnException"},
		"ARN of a partition":     {keyID: "arn:aws-cn:kms:eu-central-1:111122223333:key/" + id, code: "InvalidArnException"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &test.keyID})
			if test.code != "" {
				requireCode(t, err, test.code)
				requireCode(t, generate(t, c, test.keyID), test.code)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.arn, *out.KeyMetadata.Arn)
			require.NoError(t, generate(t, c, test.keyID))
		})
	}
}

func TestKeyStates(t *testing.T) {
	srv := pipe(t)
	c := client(srv)
	for name, test := range map[string]struct {
		change func(arn string)
		code   string
		state  types.KeyState
	}{
		"enabled":           {func(string) {}, "", types.KeyStateEnabled},
		"disabled":          {srv.Disable, "DisabledException", types.KeyStateDisabled},
		"enabled again":     {func(arn string) { srv.Disable(arn); srv.Enable(arn) }, "", types.KeyStateEnabled},
		"pending deletion":  {func(arn string) { srv.ScheduleDeletion(arn, 7) }, "KMSInvalidStateException", types.KeyStatePendingDeletion},
		"deletion canceled": {func(arn string) { srv.ScheduleDeletion(arn, 7); srv.CancelDeletion(arn) }, "DisabledException", types.KeyStateDisabled},
	} {
		t.Run(name, func(t *testing.T) {
			arn := srv.CreateKey(fakekms.KeyOptions{})
			made := dataKey(t, c, arn, acme)
			test.change(arn)
			out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
			require.NoError(t, err)
			require.Equal(t, test.state, out.KeyMetadata.KeyState)
			require.Equal(t, test.code == "", out.KeyMetadata.Enabled)
			require.Equal(t, test.state == types.KeyStatePendingDeletion, out.KeyMetadata.DeletionDate != nil)

			errs := map[string]error{"GenerateDataKey": generate(t, c, arn)}
			_, errs["Decrypt"] = decrypt(t, c, arn, made.CiphertextBlob, acme)
			_, errs["Decrypt without key ID"] = decrypt(t, c, "", made.CiphertextBlob, acme)
			_, errs["Encrypt"] = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")})
			for what, err := range errs {
				if test.code == "" {
					require.NoError(t, err, what)
				} else {
					requireCode(t, err, test.code)
				}
			}
		})
	}
}

func TestDeletionTakesPlace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{})
		defer srv.Close()
		c := client(srv)
		arn := srv.CreateKey(fakekms.KeyOptions{})
		blob := dataKey(t, c, arn, nil).CiphertextBlob
		srv.ScheduleDeletion(arn, 7)
		time.Sleep(7*24*time.Hour - time.Second)
		requireCode(t, generate(t, c, arn), "KMSInvalidStateException")
		time.Sleep(time.Second)
		requireCode(t, generate(t, c, arn), "NotFoundException")
		_, err := decrypt(t, c, arn, blob, nil)
		requireCode(t, err, "NotFoundException")
		_, err = decrypt(t, c, "", blob, nil)
		requireCode(t, err, "AccessDeniedException")
	})
}

func TestRotation(t *testing.T) {
	srv := pipe(t)
	c := client(srv)
	arn := srv.CreateKey(fakekms.KeyOptions{})
	var made []*kms.GenerateDataKeyOutput
	for range 3 {
		made = append(made, dataKey(t, c, arn, acme))
		srv.RotateKey(arn)
	}
	require.NotEqual(t, *made[0].KeyMaterialId, *made[1].KeyMaterialId)
	for _, m := range made {
		got, err := decrypt(t, c, arn, m.CiphertextBlob, acme)
		require.NoError(t, err, "old key material goes on decrypting")
		require.Equal(t, m.Plaintext, got)
	}

	for range 25 {
		_, err := c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &arn})
		require.NoError(t, err)
	}
	_, err := c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &arn})
	requireCode(t, err, "LimitExceededException")
	srv.RotateKey(arn)
	srv.Disable(arn)
	_, err = c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &arn})
	requireCode(t, err, "DisabledException")
}

func TestIncorrectKey(t *testing.T) {
	srv := pipe(t)
	c := client(srv)
	arn, other := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	blob := dataKey(t, c, arn, nil).CiphertextBlob
	_, err := decrypt(t, c, other, blob, nil)
	requireCode(t, err, "IncorrectKeyException")
	srv.CreateAlias("alias/crm", other)
	_, err = decrypt(t, c, "alias/crm", blob, nil)
	requireCode(t, err, "IncorrectKeyException")
	srv.UpdateAlias("alias/crm", arn)
	_, err = decrypt(t, c, "alias/crm", blob, nil)
	require.NoError(t, err)
	_, err = decrypt(t, client(pipe(t)), "", blob, nil) // another server
	requireCode(t, err, "InvalidCiphertextException")
}

func TestOtherKindsOfKeysAreRefused(t *testing.T) {
	srv := pipe(t)
	c := client(srv)
	for _, opts := range []fakekms.KeyOptions{
		{Spec: "RSA_2048"}, {Spec: "RSA_4096", Usage: "SIGN_VERIFY"}, {Spec: "ECC_NIST_P256"}, {Spec: "HMAC_256"},
	} {
		arn := srv.CreateKey(opts)
		requireCode(t, generate(t, c, arn), "InvalidKeyUsageException")
		_, err := c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &arn})
		requireCode(t, err, "UnsupportedOperationException")
		out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
		require.NoError(t, err)
		require.Equal(t, opts.Spec, string(out.KeyMetadata.KeySpec))
		require.Empty(t, out.KeyMetadata.EncryptionAlgorithms)
	}
}

// TestAdministrationByAPI drives by SDK calls what the methods arrange.
func TestAdministrationByAPI(t *testing.T) {
	srv := pipe(t)
	c, ctx := client(srv), t.Context()
	created, err := c.CreateKey(ctx, &kms.CreateKeyInput{Description: aws.String("made by a client"), MultiRegion: aws.Bool(true)})
	require.NoError(t, err)
	m := created.KeyMetadata
	arn := *m.Arn
	require.Regexp(t, `^arn:aws:kms:eu-central-1:111122223333:key/mrk-[0-9a-f]{32}$`, arn)
	require.Equal(t, "made by a client", *m.Description)
	require.Equal(t, "111122223333", *m.AWSAccountId)
	require.Equal(t, types.KeySpecSymmetricDefault, m.KeySpec)
	require.Equal(t, types.KeyUsageTypeEncryptDecrypt, m.KeyUsage)
	require.Equal(t, types.MultiRegionKeyTypePrimary, m.MultiRegionConfiguration.MultiRegionKeyType)
	require.WithinDuration(t, time.Now(), *m.CreationDate, time.Minute)

	_, err = c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/crm"), TargetKeyId: &arn})
	require.NoError(t, err)
	_, err = c.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: aws.String("alias/crm"), TargetKeyId: &arn})
	require.NoError(t, err)
	require.NoError(t, generate(t, c, "alias/crm"))
	_, err = c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &arn})
	require.NoError(t, err)
	requireCode(t, generate(t, c, arn), "DisabledException")
	_, err = c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &arn})
	require.NoError(t, err)
	require.NoError(t, generate(t, c, arn))
	replica, err := c.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: &arn, ReplicaRegion: aws.String("us-east-1")})
	require.NoError(t, err)
	require.Equal(t, types.MultiRegionKeyTypeReplica, replica.ReplicaKeyMetadata.MultiRegionConfiguration.MultiRegionKeyType)
	require.NoError(t, generate(t, client(srv.Region("us-east-1")), *replica.ReplicaKeyMetadata.Arn))
	scheduled, err := c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &arn})
	require.NoError(t, err)
	require.EqualValues(t, 30, *scheduled.PendingWindowInDays)
	require.WithinDuration(t, time.Now().AddDate(0, 0, 30), *scheduled.DeletionDate, time.Minute)
	requireCode(t, generate(t, c, arn), "KMSInvalidStateException")
	_, err = c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: &arn})
	require.NoError(t, err)
	requireCode(t, generate(t, c, arn), "DisabledException")
}

func TestAdministrationRefused(t *testing.T) {
	srv := pipe(t)
	c, ctx := client(srv), t.Context()
	arn := srv.CreateKey(fakekms.KeyOptions{})
	foreign := srv.CreateKey(fakekms.KeyOptions{Account: "444455556666"})
	pending := srv.CreateKey(fakekms.KeyOptions{})
	srv.ScheduleDeletion(pending, 7)
	multi := srv.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	srv.ReplicateKey(multi, "us-east-1")
	srv.CreateAlias("alias/crm", arn)

	create := func(in kms.CreateKeyInput) error { _, err := c.CreateKey(ctx, &in); return err }
	alias := func(name, target string) error {
		_, err := c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &target})
		return err
	}
	move := func(name, target string) error {
		_, err := c.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &target})
		return err
	}
	replicate := func(keyID, region string) error {
		_, err := c.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: &keyID, ReplicaRegion: &region})
		return err
	}
	schedule := func(keyID string, days int32) error {
		_, err := c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &keyID, PendingWindowInDays: &days})
		return err
	}
	cancel := func(keyID string) error {
		_, err := c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: &keyID})
		return err
	}
	enable := func(keyID string) error { _, err := c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &keyID}); return err }
	rotate := func(keyID string) error {
		_, err := c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: &keyID})
		return err
	}
	for name, test := range map[string]struct {
		err  error
		code string
	}{
		"create: unknown spec":      {create(kms.CreateKeyInput{KeySpec: "ROT_13"}), "ValidationException"},
		"create: usage of others":   {create(kms.CreateKeyInput{KeyUsage: types.KeyUsageTypeSignVerify}), "ValidationException"},
		"create: imported material": {create(kms.CreateKeyInput{Origin: types.OriginTypeExternal}), "UnsupportedOperationException"},
		"create: long description":  {create(kms.CreateKeyInput{Description: aws.String(string(make([]byte, 8193)))}), "ValidationException"},
		"alias: exists":             {alias("alias/crm", arn), "AlreadyExistsException"},
		"alias: no prefix":          {alias("crm", arn), "ValidationException"},
		"alias: empty":              {alias("alias/", arn), "ValidationException"},
		"alias: reserved":           {alias("alias/aws/s3", arn), "ValidationException"},
		"alias: colon":              {alias("alias/a:b", arn), "ValidationException"},
		"alias: foreign key":        {alias("alias/other", foreign), "AccessDeniedException"},
		"alias: pending key":        {alias("alias/other", pending), "KMSInvalidStateException"},
		"alias: missing key":        {alias("alias/other", "none"), "NotFoundException"},
		"alias: none to move":       {move("alias/other", arn), "NotFoundException"},
		"replicate: single-region":  {replicate(arn, "us-east-1"), "UnsupportedOperationException"},
		"replicate: not a region":   {replicate(multi, "the moon"), "ValidationException"},
		"replicate: there already":  {replicate(multi, "us-east-1"), "AlreadyExistsException"},
		"replicate: same region":    {replicate(multi, "eu-central-1"), "AlreadyExistsException"},
		"schedule: 6 days":          {schedule(arn, 6), "ValidationException"},
		"schedule: 31 days":         {schedule(arn, 31), "ValidationException"},
		"schedule: twice":           {schedule(pending, 7), "KMSInvalidStateException"},
		"schedule: foreign key":     {schedule(foreign, 7), "AccessDeniedException"},
		"cancel: nothing to cancel": {cancel(arn), "KMSInvalidStateException"},
		"cancel: missing key":       {cancel("none"), "NotFoundException"},
		"enable: pending":           {enable(pending), "KMSInvalidStateException"},
		"enable: foreign key":       {enable(foreign), "AccessDeniedException"},
		"rotate: pending":           {rotate(pending), "KMSInvalidStateException"},
		"rotate: foreign key":       {rotate(foreign), "AccessDeniedException"},
	} {
		t.Run(name, func(t *testing.T) { requireCode(t, test.err, test.code) })
	}
	require.NoError(t, generate(t, c, foreign), "but it may be used")
}

func TestMisuseByTheTestPanics(t *testing.T) {
	srv := pipe(t)
	arn := srv.CreateKey(fakekms.KeyOptions{})
	for name, misuse := range map[string]func(){
		"account":          func() { fakekms.New(fakekms.Options{Account: "me"}) },
		"region":           func() { fakekms.New(fakekms.Options{Region: "Frankfurt"}) },
		"other region":     func() { srv.Region("") },
		"key account":      func() { srv.CreateKey(fakekms.KeyOptions{Account: "1"}) },
		"disable no key":   func() { srv.Disable("alias/none") },
		"rotate no key":    func() { srv.RotateKey("none") },
		"replica of one":   func() { srv.ReplicateKey(arn, "us-east-1") },
		"days":             func() { srv.ScheduleDeletion(arn, 1) },
		"fault: nothing":   func() { srv.Inject(fakekms.Fault{}) },
		"fault: operation": func() { srv.Inject(fakekms.Fault{Ops: []string{"decrypt"}, Break: fakekms.Hang}) },
		"fault: break":     func() { srv.Inject(fakekms.Fault{Break: "a leg"}) },
		"fault: both":      func() { srv.Inject(fakekms.Fault{Break: fakekms.Hang, Error: "X"}) },
		"fault: rate":      func() { srv.Inject(fakekms.Fault{Break: fakekms.Hang, Rate: 1.5}) },
		"fault: status":    func() { srv.Inject(fakekms.Fault{Status: 200}) },
		"fault: delay":     func() { srv.Inject(fakekms.Fault{Delay: -1}) },
	} {
		t.Run(name, func(t *testing.T) { require.Panics(t, misuse) })
	}
}
