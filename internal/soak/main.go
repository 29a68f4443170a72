// Command soak runs readers and writers of more tenants than the caches hold,
// on a SQL key store, while keys are rotated and the key service fails now and
// then. It checks every value that is read, and ends with an error if a value was
// wrong, if goroutines or open files are left at the end, or if memory has grown.
//
//	go run ./internal/soak -for 30m
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	c := config{out: os.Stdout}
	flag.DurationVar(&c.length, "for", 30*time.Minute, "how long it runs")
	flag.IntVar(&c.tenants, "tenants", 400, "tenants")
	flag.IntVar(&c.places, "places", 50, "data keys that each ring's caches hold")
	flag.Parse()
	c.report = min(c.length/5, time.Minute)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := soak(ctx, c)
	stop()
	if err != nil {
		fmt.Println("soak:", err)
		os.Exit(1)
	}
	fmt.Println("soak: every value was right, and nothing is left or has grown")
}
