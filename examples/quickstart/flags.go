package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

const usage = `quickstart shows fieldcrypt at work on a SQLite database.

  go run ./examples/quickstart              # an embedded key file, nothing to install
  go run ./examples/quickstart -dir demo    # keeps its files; run it again to read them
  go run ./examples/quickstart -kms aws -key alias/crm

On AWS KMS it needs AWS_REGION, credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, or a role) and a key with kms:GenerateDataKey, kms:Decrypt
and kms:DescribeKey. To make the key (aws of version 1 reads AWS_DEFAULT_REGION):

  key=$(aws kms create-key --query KeyMetadata.KeyId --output text)
  aws kms create-alias --alias-name alias/crm --target-key-id "$key"

On LocalStack: the same, after "export AWS_ENDPOINT_URL=http://127.0.0.1:4566",
with any credentials; -endpoint does for quickstart alone.

Flags:
`

type options struct{ dir, kms, key, endpoint string }

// parse returns flag.ErrHelp when it has printed what was asked for.
func parse(out io.Writer, args []string) (o options, err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints errors
	flags.StringVar(&o.dir, "dir", "", "keep the key file and the database in this `folder` (without it: a temporary one, removed at the end)")
	flags.StringVar(&o.kms, "kms", "local", "the key `service`: local, which is a key file, or aws")
	flags.StringVar(&o.key, "key", "", "with -kms aws: the root `key`, as alias/name, key ARN or alias ARN")
	flags.StringVar(&o.endpoint, "endpoint", "", "with -kms aws: the `URL` of an emulator such as LocalStack")
	err = flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		flags.SetOutput(out)
		flags.PrintDefaults()
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.kms != "local" && o.kms != "aws":
		err = fmt.Errorf("-kms %q: it is local or aws", o.kms)
	case o.kms == "local" && (o.key != "" || o.endpoint != ""):
		err = errors.New("-key and -endpoint go with -kms aws")
	case o.kms == "aws" && o.key == "":
		err = errors.New("-kms aws needs -key, such as -key alias/crm")
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		err = fmt.Errorf("%w (-h shows how to run it)", err)
	}
	return o, err
}
