package awskms

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// An iamPolicy is a policy document as IAM writes it.
type iamPolicy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// Policy implements kmsprovider.PolicyWriter with an IAM policy for the caller.
// Its statements are Seal for the root keys that wrap new data keys, Open for
// those that only open, and RewrapFrom and RewrapTo to move data keys to the ones
// that wrap, which a caller that never does so need not be given. Where a replica
// is called in a root key's place, the policy names the replica.
//
// Aliases are resolved, since a policy can't name one. One that can't be resolved
// is named by a condition on the aliases that a key has (kms:ResourceAliases).
// Root keys that this provider can't call are left out.
func (p *Provider) Policy(ctx context.Context, seal, open []string) ([]byte, error) {
	var sealing, opening, all targets
	for _, uri := range seal {
		p.aim(ctx, uri, &sealing, &all)
	}
	for _, uri := range open {
		p.aim(ctx, uri, &opening, &all)
	}
	opening = opening.without(sealing)
	doc := iamPolicy{Version: "2012-10-17", Statement: []statement{}}
	doc.add("Seal", sealing, "kms:GenerateDataKey", "kms:Decrypt", "kms:DescribeKey")
	doc.add("Open", opening, "kms:Decrypt", "kms:DescribeKey")
	if len(sealing) > 0 {
		doc.add("RewrapFrom", all, "kms:ReEncryptFrom")
		doc.add("RewrapTo", sealing, "kms:ReEncryptTo")
	}
	return json.MarshalIndent(doc, "", "  ")
}

// A target is what a statement is about: keys by their ARN, or, where alias is
// set, the keys of a region that have it.
type target struct{ arn, alias string }

type targets []target

// aim adds what is called for a root key to each of the lists.
func (p *Provider) aim(ctx context.Context, uri string, lists ...*targets) {
	n, err := parse(uri)
	if err != nil {
		return
	}
	var t target
	if _, arn, err := p.sealing(ctx, opResolve, uri); err == nil {
		t.arn = arn
	} else if n.isAlias() && p.atHome(n) == nil {
		t = p.byAlias(n)
	} else {
		return
	}
	for _, list := range lists {
		if !slices.Contains(*list, t) {
			*list = append(*list, t)
		}
	}
}

// byAlias is for an alias that nobody can say the key of.
func (p *Provider) byAlias(n name) target {
	home, _ := inPartition(p.region, n.partition)
	_, alias, _ := strings.Cut(n.arn, "alias/")
	return target{arn: "arn:" + cmp.Or(n.partition, home) + ":kms:" + p.region + ":" + cmp.Or(n.account, "*") + ":key/*", alias: "alias/" + alias}
}

func (ts targets) without(others targets) targets {
	return slices.DeleteFunc(slices.Clone(ts), func(t target) bool { return slices.Contains(others, t) })
}

// add adds one statement for the keys that have an ARN, and one for each alias
// that stands for a key.
func (doc *iamPolicy) add(sid string, ts targets, actions ...string) {
	keys := statement{Sid: sid, Effect: "Allow", Action: actions}
	var byAlias []statement
	for _, t := range ts {
		if t.alias == "" {
			keys.Resource = append(keys.Resource, t.arn)
			continue
		}
		byAlias = append(byAlias, statement{
			Sid: fmt.Sprintf("%sByAlias%d", sid, len(byAlias)+1), Effect: "Allow", Action: actions, Resource: []string{t.arn},
			Condition: map[string]map[string][]string{"ForAnyValue:StringEquals": {"kms:ResourceAliases": {t.alias}}},
		})
	}
	if len(keys.Resource) > 0 {
		doc.Statement = append(doc.Statement, keys)
	}
	doc.Statement = append(doc.Statement, byAlias...)
}
