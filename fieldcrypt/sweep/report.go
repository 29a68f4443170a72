package sweep

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A Report tells what a job did, in all processes that took part.
type Report struct {
	Job       string // the job's ID
	Table     string
	Operation string
	DryRun    bool
	Done      bool // all key ranges are

	Rows    int64 // that were looked at
	Changed int64 // that were written; of a dry run: that would be
	Failed  int64 // that couldn't be dealt with, in one of their columns at least

	// Failures tells why, for up to 1,000 of them.
	Failures []Failure

	Began, Ended time.Time // by the database's clock; Ended is zero until Done
}

// A Failure is a cell that couldn't be dealt with. It stays as it was.
type Failure struct {
	Key    string `json:"k"` // the row's primary key
	Column string `json:"c"` // empty where it is about the row
	Reason string `json:"r"` // never a value
}

func (f Failure) String() string {
	if f.Column == "" {
		return "row " + f.Key + ": " + f.Reason
	}
	return "row " + f.Key + ", column " + f.Column + ": " + f.Reason
}

const (
	failuresKept     = 1000 // of a job, in a report
	failuresOfRange  = 100
	longestReason    = 600
	failuresInErrors = 3
)

// Err returns an error of the kind [ErrRows] if rows failed, else nil.
func (r *Report) Err() error {
	if r == nil || r.Failed == 0 {
		return nil
	}
	var b strings.Builder
	for i, f := range r.Failures {
		if i == failuresInErrors {
			fmt.Fprintf(&b, "; and more, see Report.Failures")
			break
		}
		fmt.Fprintf(&b, "; %s", f)
	}
	return fmt.Errorf("sweep: %s of table %s: %d of %d %w%s", r.Operation, r.Table, r.Failed, r.Rows, ErrRows, b.String())
}

// String is a line for a log.
func (r *Report) String() string {
	if r == nil {
		return "no report"
	}
	did := "changed"
	if r.DryRun {
		did = "would change"
	}
	text := fmt.Sprintf("%s of %s: %d rows, %s %d, failed %d", r.Operation, r.Table, r.Rows, did, r.Changed, r.Failed)
	if r.Done && !r.Ended.IsZero() {
		text += fmt.Sprintf(", in %v", r.Ended.Sub(r.Began).Round(time.Millisecond))
	}
	if !r.Done && !r.DryRun {
		text += ", not done"
	}
	return text
}

// fail adds a failure to a list that is bounded.
func fail(list []Failure, limit int, f Failure) []Failure {
	if len(list) >= limit {
		return list
	}
	if len(f.Reason) > longestReason {
		f.Reason = strings.ToValidUTF8(f.Reason[:longestReason], "") + "…"
	}
	return append(list, f)
}

func encodeFailures(list []Failure) (any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(list)
	return string(text), err
}

func decodeFailures(text string) []Failure {
	var list []Failure
	if text != "" && json.Unmarshal([]byte(text), &list) != nil {
		return []Failure{{Reason: "the failures of a range can't be read: somebody changed the table of ranges"}}
	}
	return list
}

// Progress is what a job's callback is told.
type Progress struct {
	Table    string
	Rows     int64         // looked at so far, in all processes
	Total    int64         // about how many there are; 0 if that isn't known
	Changed  int64         // written so far
	Failed   int64         // not dealt with so far
	Workers  int           // key ranges that this call works on
	Elapsed  time.Duration // of this call
	Left     time.Duration // about how long it takes still, without pauses; 0 if that isn't known
	Paused   bool
	Waiting  string // what is being waited for, such as the key service; empty if nothing is
	Finished bool
}
