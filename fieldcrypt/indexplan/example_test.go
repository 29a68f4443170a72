package indexplan_test

import (
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/indexplan"
)

// An index of e-mail addresses, of which a few occur twice.
func ExampleNew() {
	histogram := indexplan.Histogram{{Rows: 1, Values: 95_000}, {Rows: 2, Values: 2_500}}
	plan, err := indexplan.New(indexplan.Column{Field: "Contacts.email", Histogram: histogram}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(plan)
	ddl, err := plan.DDL(indexplan.Postgres, indexplan.Target{Table: "contacts", Column: "email_tag", Tenant: "tenant"})
	fmt.Println(err)
	fmt.Print(ddl)
	// Output:
	// field                       Contacts.email
	// rows, values                100000, 97500
	// entropy of the values       16.6 bits
	// index                       yes, 13 bits in 1 partition
	// a search by row             1.05 matches, 12.2 false positives, 95 of 100 searches at most 18
	// a search by value           1.03 matches, 12.2 false positives, 95 of 100 searches at most 18
	// learned from the tags       12.9 bits a row, 12.9 with the other indexes
	// rows guessed by rank        0.0017 %, without the tags 0.002 %, with the key 10 %
	// <nil>
	// ALTER TABLE "contacts" ADD COLUMN "email_tag" bytea CHECK (octet_length("email_tag") = 2);
	// CREATE INDEX "email_tag_search" ON "contacts" ("tenant", "email_tag");
}

// A column that is refused, and what it takes to index it all the same.
func ExampleNew_lowEntropy() {
	vip := indexplan.Column{Field: "Contacts.vip", Histogram: indexplan.Histogram{{Rows: 90_000, Values: 1}, {Rows: 10_000, Values: 1}}}
	_, err := indexplan.New(vip, nil)
	fmt.Println(errors.Is(err, indexplan.ErrLowEntropy))
	plan, err := indexplan.New(vip, &indexplan.Options{AllowLowEntropy: true})
	fmt.Println(err)
	fmt.Printf("%.0f %% of the rows can be guessed\n", 100*plan.Leak.Guess)
	// Output:
	// true
	// <nil>
	// 100 % of the rows can be guessed
}

// The query counts in the database; its answer holds no value.
func ExampleTenantHistogramQuery() {
	query, err := indexplan.TenantHistogramQuery(indexplan.Postgres, "contacts", "email", "tenant")
	fmt.Println(err)
	fmt.Println(query)
	// Then: indexplan.ReadHistogram(ctx, db, query, "acme")
	// Output:
	// <nil>
	// SELECT rows_per_value, COUNT(*) AS value_count
	// FROM (SELECT COUNT(*) AS rows_per_value FROM "contacts" WHERE "tenant" = $1 AND "email" IS NOT NULL GROUP BY "email"::text COLLATE "C") AS frequencies
	// GROUP BY rows_per_value ORDER BY rows_per_value
}
