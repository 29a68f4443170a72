package fieldcrypt

import "reflect"

// documents are the documents of a call, on their way into their records.
type documents struct {
	list []*pendingDocument
}

type pendingDocument struct {
	Document
	record map[string]any
	member string
}

// of returns the call's copy of a record's document.
func (ds *documents) of(record map[string]any, member string, content any, read func(*Document, any) error) (*pendingDocument, error) {
	for i := len(ds.list) - 1; i >= 0; i-- {
		d := ds.list[i]
		if reflect.ValueOf(d.record).UnsafePointer() != reflect.ValueOf(record).UnsafePointer() {
			break // a record's documents follow each other
		}
		if d.member == member {
			return d, d.err
		}
	}
	d := &pendingDocument{record: record, member: member}
	if err := read(&d.Document, content); err != nil {
		d.Document = Document{state: documentBroken, err: err}
	}
	ds.list = append(ds.list, d)
	return d, d.err
}

// drop keeps nothing of a document without the shape that a path is for: the
// value may be anywhere in it, in plaintext.
func (ds *documents) drop(record map[string]any, member string, err error) {
	for i := len(ds.list) - 1; i >= 0; i-- {
		d := ds.list[i]
		if reflect.ValueOf(d.record).UnsafePointer() != reflect.ValueOf(record).UnsafePointer() {
			break // a record's documents follow each other
		}
		if d.member == member && d.err == nil {
			d.Document = Document{state: documentBroken, err: err}
		}
	}
}

// put brings the documents into their records. What a program made stays so until
// it is encrypted.
func (ds *documents) put(encrypted bool) {
	for _, d := range ds.list {
		switch {
		case d.state == documentPlain && !encrypted:
			continue
		case d.state == documentNull: // and JSON's null is another thing
		case d.state != documentBroken:
			d.state = documentSealed
		}
		d.record[d.member] = d.Document
	}
}
