// Package hooks lets the sweep's own tests look into a job, and break it for
// their controls. Nothing else can: it is internal to package sweep.
package hooks

import "context"

// Hooks are what a test asks for.
type Hooks struct {
	Step        func(name string)              // told of each step before it is made
	Statement   func(query string, args []any) // told of each statement that writes many rows
	NoSwap      bool                           // rows are written whatever they hold by now
	CursorFirst bool                           // the cursor is moved before the rows are written
}

type key struct{}

// With returns a context whose jobs have the hooks.
func With(ctx context.Context, h Hooks) context.Context { return context.WithValue(ctx, key{}, h) }

// From returns the hooks of a context, which do nothing by default.
func From(ctx context.Context) Hooks {
	h, _ := ctx.Value(key{}).(Hooks)
	if h.Step == nil {
		h.Step = func(string) {}
	}
	if h.Statement == nil {
		h.Statement = func(string, []any) {}
	}
	return h
}
